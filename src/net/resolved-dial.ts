/**
 * A dial of a host name that a resolver of ours looks up, not the system's.
 *
 * Stands between the dialer and its attempts: the addresses are dialled one after another, each with its share of the
 * time, so that one address that does not answer leaves time for the others. It ends as any dial does: once.
 */
import type { Socket } from "bun";
import { formatAddress } from "./address.ts";
import type { Dial, DialOwner, DialTarget } from "./dial.ts";
import { DialError } from "./dial-error.ts";
import type { DnsResolver } from "./resolver.ts";
import { addressOf } from "./stuck-dials.ts";

/** Addresses of one name that are dialled; a name with more is not a member's. */
const ADDRESSES_MAX = 4;

type StartAttempt<Data> = (target: DialTarget, owner: DialOwner<Data>, timeoutMs: number) => Dial;

export class ResolvedDial<Data> implements Dial, DialOwner<Data> {
  readonly #target: DialTarget;
  readonly #owner: DialOwner<Data>;
  readonly #startAttempt: StartAttempt<Data>;
  readonly #timeoutMs: number;
  #untried: readonly string[] = [];
  #attemptTimeoutMs = 0;
  #attempt: Dial | undefined;
  #lookupTimer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(
    target: DialTarget,
    owner: DialOwner<Data>,
    resolver: DnsResolver,
    timeoutMs: number,
    startAttempt: StartAttempt<Data>,
  ) {
    this.#target = target;
    this.#owner = owner;
    this.#timeoutMs = timeoutMs;
    this.#startAttempt = startAttempt;
    this.#lookupTimer = setTimeout(() => {
      this.#fail("unresolved", `the host name was not resolved within ${timeoutMs} ms`);
    }, timeoutMs);
    const startedMs = performance.now();
    resolver.addresses(target.hostname).then(
      (addresses) => this.#resolved(addresses, timeoutMs - (performance.now() - startedMs)),
      (error: unknown) => this.#fail("unresolved", error instanceof Error ? error.message : String(error)),
    );
  }

  abandon(): void {
    clearTimeout(this.#lookupTimer);
    this.#over = true;
    this.#attempt?.abandon();
  }

  dialled(socket: Socket<Data>): void {
    this.#over = true;
    this.#owner.dialled(socket);
  }

  dialFailed(error: DialError): void {
    if (this.#untried.length > 0 && error.reason !== "exhausted") this.#dialNext();
    else this.#fail(error.reason, error.detail, error.cause);
  }

  #resolved(addresses: readonly string[], remainingMs: number): void {
    if (this.#over) return;
    clearTimeout(this.#lookupTimer);
    if (addresses.length === 0) {
      this.#fail("unresolved", `${this.#target.hostname} has no address in DNS`);
      return;
    }
    this.#untried = addresses.slice(0, ADDRESSES_MAX);
    this.#attemptTimeoutMs = Math.max(1, Math.min(remainingMs, this.#timeoutMs) / this.#untried.length);
    this.#dialNext();
  }

  #dialNext(): void {
    const [hostname = "", ...untried] = this.#untried;
    this.#untried = untried;
    const { name, port, tls } = this.#target;
    const target = { hostname, port, tls, name: addressOf(name, formatAddress({ hostname, port })) };
    this.#attempt = this.#startAttempt(target, this, Math.round(this.#attemptTimeoutMs));
  }

  #fail(reason: DialError["reason"], detail: string, cause?: unknown): void {
    if (this.#over) return;
    clearTimeout(this.#lookupTimer);
    this.#over = true;
    this.#owner.dialFailed(new DialError(reason, this.#target.name, detail, cause));
  }
}
