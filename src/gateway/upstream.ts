// The members as the gateway's connections see them: which to dial, and what became of a dial.
//
// Stands between the connections and the choice of endpoints, and tells the log and the counters. A dial that failed for
// want of files or ports on this machine is not held against the endpoint.
import type { Socket } from "bun";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { StickyChoice } from "../endpoints/sticky-choice.ts";
import type { DialError } from "../net/dial-error.ts";
import type { Dialer } from "../net/dial.ts";
import type { Logger } from "../observe/log.ts";
import type { GatewayStats } from "./gateway-stats.ts";
import type { PipeEnd } from "./pipe.ts";

/** One line about clients that were turned away stands for all within this time. */
const TURNED_AWAY_LOG_INTERVAL_MS = 5_000;

export interface UpstreamOptions {
  readonly choice: StickyChoice;
  readonly dialer: Dialer<PipeEnd>;
  readonly stats: GatewayStats;
  readonly log: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Whether `member`, dialled at `endpoint`, is the gateway itself. */
  readonly leadsBack: (member: Socket<PipeEnd>, endpoint: Endpoint) => boolean;
}

export class Upstream {
  readonly dialer: Dialer<PipeEnd>;
  readonly stats: GatewayStats;
  readonly leadsBack: UpstreamOptions["leadsBack"];
  readonly #choice: StickyChoice;
  readonly #log: Logger;
  readonly #now: () => number;
  #turnedAway = 0;
  #turnedAwayLoggedMs = -Infinity;

  constructor(options: UpstreamOptions) {
    this.dialer = options.dialer;
    this.stats = options.stats;
    this.leadsBack = options.leadsBack;
    this.#choice = options.choice;
    this.#log = options.log;
    this.#now = options.now;
  }

  /** The endpoint to dial first. */
  current(): Endpoint {
    return this.#choice.current(this.#now());
  }

  /** The endpoints to dial after `tried` has failed, in this order. */
  others(tried: Endpoint): Endpoint[] {
    return this.#choice.candidates(this.#now()).filter(({ name }) => name !== tried.name);
  }

  succeeded(endpoint: Endpoint): void {
    if (this.#choice.succeeded(endpoint)) this.#log.info("endpoint works again", { endpoint: endpoint.name });
  }

  failed(endpoint: Endpoint, error: DialError): void {
    const { dialFailures } = this.stats;
    dialFailures.set(endpoint.name, (dialFailures.get(endpoint.name) ?? 0) + 1);
    if (error.reason === "exhausted") return;
    if (this.#choice.failed(endpoint, error.detail, this.#now())) {
      this.#log.warn("endpoint failed, set aside", { endpoint: endpoint.name, reason: error.detail });
    }
  }

  /** A client was closed because of `error`, after which there was nothing left to try. */
  clientTurnedAway(error: DialError): void {
    this.stats.connectionsFailed++;
    this.#turnedAway++;
    const nowMs = this.#now();
    if (nowMs - this.#turnedAwayLoggedMs < TURNED_AWAY_LOG_INTERVAL_MS) return;
    const endpoints = this.#choice
      .describe()
      .map(({ endpoint, reason }) => `${endpoint.name}: ${reason ?? "not known to fail"}`);
    const message =
      error.reason === "exhausted"
        ? "no connection can be opened, client closed"
        : "no endpoint can be reached, client closed";
    this.#log.error(message, { reason: error.message, endpoints, clients: this.#turnedAway });
    this.#turnedAway = 0;
    this.#turnedAwayLoggedMs = nowMs;
  }
}
