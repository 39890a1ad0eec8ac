/**
 * Looks the endpoints up again: now and then, and at once when all of them fail.
 *
 * Stands between a lookup (SRV records, or what the flags name) and the list in use. One lookup at a time; one that
 * fails, or finds nothing, leaves the list as it is. Nobody waits for it.
 */
import { Backoff } from "../base/backoff.ts";
import type { Timers } from "../base/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointList, EndpointLog } from "./endpoint-list.ts";
import { NewsOnly } from "./news-only.ts";

/** What a lookup has found. */
export interface FoundEndpoints {
  readonly endpoints: readonly Endpoint[];
  /** What the operator should know, each a line for the log. */
  readonly warnings: readonly string[];
  /** There is more, which only time may bring. */
  readonly incomplete: boolean;
}

/** How endpoints are found, and what was found at the start. */
export interface EndpointSource {
  /** In words, for the log. */
  readonly name: string;
  /** Rejects with an error whose message tells why, where there is no answer. */
  readonly lookUp: () => Promise<FoundEndpoints>;
  /** The time between two lookups; 0: only when all endpoints fail. */
  readonly refreshMs: number;
  /** What was found at the start; the log has its warnings. */
  readonly first: FoundEndpoints;
}

export interface EndpointRefreshOptions {
  readonly source: EndpointSource;
  readonly list: EndpointList;
  readonly clock: Timers;
  readonly log: EndpointLog;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

/** Pauses between lookups because all endpoints fail: not below a second. */
const URGENT_MS = { firstMs: 2000, limitMs: 30_000 };
/** Pauses before a lookup that brought no answer, or not all of it, is made again. */
const RETRY_MS = { firstMs: 2000, limitMs: 30_000 };
/** So that proxies that were started together do not ask together. */
const JITTER = 0.2;

export class EndpointRefresh {
  readonly #options: EndpointRefreshOptions;
  readonly #random: () => number;
  readonly #urgent: Backoff;
  readonly #retries: Backoff;
  readonly #warnings: NewsOnly;
  readonly #failures: NewsOnly;
  #underWay = false;
  /** All endpoints have failed since the last lookup began. */
  #failedSince = false;
  #endedAtMs = Number.NEGATIVE_INFINITY;
  #pauseMs = 0;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  constructor(options: EndpointRefreshOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#urgent = new Backoff({ ...URGENT_MS, random: this.#random });
    this.#retries = new Backoff({ ...RETRY_MS, random: this.#random });
    this.#warnings = new NewsOnly(options.log, options.source.first.warnings);
    this.#failures = new NewsOnly(options.log);
  }

  /** Begins; the first lookup was a moment ago. */
  start(): void {
    const { clock, source } = this.#options;
    this.#endedAtMs = clock.nowMs();
    this.#pauseMs = this.#urgent.next();
    this.#schedule(source.first.incomplete ? this.#retries.next() : Number.POSITIVE_INFINITY);
  }

  /** All endpoints fail. May be told as often as they do. */
  allFailed(): void {
    if (this.#closed) return;
    this.#failedSince = true;
    if (!this.#underWay) this.#wake(this.#endedAtMs + this.#pauseMs);
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** The next lookup is due after `retryMs`, or with the next refresh if that is sooner. */
  #schedule(retryMs: number): void {
    const { clock } = this.#options;
    const { refreshMs } = this.#options.source;
    const jitter = 1 + JITTER * (this.#random() - 0.5);
    const nextMs = refreshMs === 0 ? Number.POSITIVE_INFINITY : refreshMs * jitter;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#wake(clock.nowMs() + Math.min(retryMs, nextMs));
  }

  /** Looks up at this time, unless it is to happen sooner anyway. */
  #wake(atMs: number): void {
    if (this.#closed || atMs >= this.#dueAtMs) return;
    this.#dueAtMs = atMs;
    this.#cancelTimer?.();
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, atMs - clock.nowMs()), () => void this.#lookUp());
  }

  async #lookUp(): Promise<void> {
    const { list, source, clock } = this.#options;
    const urgent = this.#failedSince;
    this.#failedSince = false;
    this.#underWay = true;
    let again = false;
    let changed = false;
    try {
      const { endpoints, warnings, incomplete } = await source.lookUp();
      if (this.#closed) return;
      this.#failures.tell([]);
      this.#warnings.tell(warnings);
      changed = list.replace(endpoints, source.name);
      again = incomplete;
    } catch (error) {
      if (this.#closed) return;
      again = true;
      const reason = error instanceof Error ? error.message : String(error);
      this.#failures.tell([`${reason}; the endpoints stay as they are`]);
    }
    this.#underWay = false;
    this.#endedAtMs = clock.nowMs();
    if (!again) this.#retries.reset();
    if (changed || !urgent) this.#urgent.reset();
    this.#pauseMs = this.#urgent.next();
    this.#schedule(again ? this.#retries.next() : Number.POSITIVE_INFINITY);
    // Told while the lookup was under way.
    if (this.#failedSince) this.#wake(this.#endedAtMs + this.#pauseMs);
  }
}
