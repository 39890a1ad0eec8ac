/**
 * Keeps the gateway from dialling itself by way of a name whose addresses change after the start.
 *
 * Stands between a connection and its dial. Only names on the gateway's own port are watched, so that other endpoints
 * cost nothing. An endpoint found to lead back is not dialled again for a while, even when it is the only one: each
 * such dial is a new client of the gateway, which would dial in its turn.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import { isIpLiteral, type Address } from "../net/address.ts";

/** Holds a loop back even where `--retry-delay` is very short. */
const PAUSE_MS_MIN = 1_000;

export interface LoopGuardOptions {
  readonly listening: Address;
  /** Whether an address, on the port listened on, is the gateway. */
  readonly isOwn: (address: string) => boolean;
  readonly retryDelayMs: number;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

export class LoopGuard {
  readonly #port: number;
  readonly #isOwn: (address: string) => boolean;
  readonly #pauseMs: number;
  readonly #now: () => number;
  /** When each endpoint was last found to lead back. */
  readonly #foundMs = new Map<string, number>();

  constructor(options: LoopGuardOptions) {
    this.#port = options.listening.port;
    this.#isOwn = options.isOwn;
    this.#pauseMs = Math.max(PAUSE_MS_MIN, options.retryDelayMs);
    this.#now = options.now;
  }

  /** Whether dialling `endpoint` reaches the gateway itself, should DNS say so. */
  watches(endpoint: Endpoint): boolean {
    return endpoint.port === this.#port && !isIpLiteral(endpoint.hostname);
  }

  /** Whether `member`, which a dial of `endpoint` has reached, is the gateway itself. */
  leadsBack(member: { readonly remoteAddress: string }, endpoint: Endpoint): boolean {
    if (!this.watches(endpoint)) return false;
    if (!this.#isOwn(member.remoteAddress)) {
      this.#foundMs.delete(endpoint.name);
      return false;
    }
    this.#foundMs.set(endpoint.name, this.#now());
    return true;
  }

  /** Whether `endpoint` led back so recently that it is not to be dialled. */
  holdsBack(endpoint: Endpoint): boolean {
    return this.#now() - (this.#foundMs.get(endpoint.name) ?? -Infinity) < this.#pauseMs;
  }
}
