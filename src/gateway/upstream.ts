/**
 * The members as the gateway's connections see them: which to dial, and what became of a dial.
 *
 * Stands between the connections and the choice of endpoints, and tells the log and the counters. A dial that failed
 * for want of files or ports on this machine is not held against the endpoint.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { EndpointEvents } from "../endpoints/endpoint-events.ts";
import type { Verdict } from "../endpoints/endpoint-report.ts";
import type { EndpointChoice } from "../endpoints/endpoint-choice.ts";
import type { DialError } from "../net/dial-error.ts";
import type { Dialer } from "../net/dial.ts";
import type { Logger, LogLevel } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { GatewayStats } from "./gateway-stats.ts";
import type { LoopGuard } from "./loop-guard.ts";
import type { PipeEnd } from "./pipe.ts";
import { ThrottledLine } from "./throttled-line.ts";

export interface UpstreamOptions {
  readonly choice: EndpointChoice;
  readonly dialer: Dialer<PipeEnd>;
  readonly stats: GatewayStats;
  readonly log: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly loopGuard: LoopGuard;
  readonly events?: EndpointEvents | undefined;
  /** No endpoint could be reached for a client, or none passes its checks; told again and again. */
  readonly onAllFailed?: (() => void) | undefined;
}

export class Upstream {
  readonly dialer: Dialer<PipeEnd>;
  readonly stats: GatewayStats;
  readonly loopGuard: LoopGuard;
  readonly #choice: EndpointChoice;
  readonly #log: RateLimitedLog;
  readonly #now: () => number;
  readonly #turnedAwayLine: ThrottledLine;
  readonly #onAllFailed: (() => void) | undefined;
  readonly #events: EndpointEvents | undefined;

  constructor(options: UpstreamOptions) {
    this.dialer = options.dialer;
    this.stats = options.stats;
    this.loopGuard = options.loopGuard;
    this.#choice = options.choice;
    this.#log = new RateLimitedLog(options.log, options.now);
    this.#now = options.now;
    this.#turnedAwayLine = new ThrottledLine(options.log, options.now);
    this.#onAllFailed = options.onAllFailed;
    this.#events = options.events;
  }

  /** A monotonic clock in milliseconds. */
  nowMs(): number {
    return this.#now();
  }

  /** The endpoint to dial first for the next client. */
  next(): Endpoint {
    return this.#choice.next(this.#now());
  }

  /** The endpoints to dial after `tried` has failed, in this order. */
  others(tried: Endpoint): Endpoint[] {
    return this.#choice.candidates(this.#now(), tried).slice(1);
  }

  succeeded(endpoint: Endpoint): void {
    if (!this.#choice.succeeded(endpoint)) return;
    this.#tell("info", "endpoint works again", endpoint);
    this.#events?.connected(endpoint);
  }

  failed(endpoint: Endpoint, error: DialError): void {
    const { dialFailures } = this.stats;
    dialFailures.set(endpoint.name, (dialFailures.get(endpoint.name) ?? 0) + 1);
    if (error.reason === "exhausted") return;
    if (this.#choice.failed(endpoint, error.detail, this.#now())) {
      this.#tell("warn", "endpoint failed, set aside", endpoint, { reason: error.detail });
      this.#events?.failed(endpoint, error.detail);
    }
  }

  /** A check has found this. */
  judged(endpoint: Endpoint, verdict: Verdict): void {
    const news = this.#choice.judge(endpoint, verdict);
    if (verdict.kind === "silent" && this.#choice.allFailed(this.#now())) this.#onAllFailed?.();
    if (!news) return;
    this.#events?.judged(endpoint, verdict);
    if (verdict.kind !== "silent") this.dialer.endpointAnswers(endpoint.name);
    if (verdict.kind === "fit") this.#tell("info", "endpoint passes its checks again", endpoint);
    else this.#tell("warn", "endpoint fails its checks", endpoint, { reason: verdict.reason });
  }

  /** A member that comes and goes as it likes does not fill the log. */
  #tell(
    level: LogLevel,
    message: string,
    { name }: Endpoint,
    fields: { readonly reason?: string } = {},
  ): void {
    this.#log.write(level, `${message} ${name}`, message, { endpoint: name, ...fields });
  }

  /** The client at `peer` is closed because of `error`, after which there was nothing left to try. */
  clientTurnedAway(peer: string, error: DialError): void {
    this.stats.connectionsFailed++;
    if (error.reason !== "exhausted") this.#onAllFailed?.();
    const message =
      error.reason === "exhausted"
        ? "no connection can be opened, client closed"
        : "no endpoint can be reached, client closed";
    this.#turnedAwayLine.error(message, () => ({
      peer,
      reason: error.message,
      endpoints: this.#choice
        .describe(this.#now())
        .map(({ endpoint, reason }) => `${endpoint.name}: ${reason ?? "not known to fail"}`),
    }));
  }
}
