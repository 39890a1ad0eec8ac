/**
 * When one client of the load was answered, and when it was not: what times and counts of an outage are taken from.
 *
 * Times are milliseconds of `performance.now()`. A client's silence is the time between two of its successes that
 * follow each other: whatever it was told in between, it got nothing done.
 */

export type UnaryKind = "read" | "serializable read" | "put" | "transaction";
/** What a client of the load does, or is told. An event stands for all that a watch is told within a moment. */
export type CallKind = UnaryKind | "heartbeat" | "event";

export interface Failure {
  readonly atMs: number;
  /** The name of the status code, such as UNAVAILABLE. */
  readonly code: string;
  readonly details: string;
}

export class CallLog {
  readonly kind: CallKind;
  readonly failures: Failure[] = [];
  readonly #successesMs: number[] = [];

  constructor(kind: CallKind) {
    this.kind = kind;
  }

  succeeded(nowMs: number): void {
    this.#successesMs.push(nowMs);
  }

  failed(nowMs: number, code: string, details: string): void {
    this.failures.push({ atMs: nowMs, code, details });
  }

  get successes(): number {
    return this.#successesMs.length;
  }

  /** How often the client succeeded after `sinceMs`. */
  successesSince(sinceMs: number): number {
    return this.#successesMs.length - this.#firstAfter(sinceMs);
  }

  /** The longest silence that ended after `sinceMs`, in milliseconds; Infinity when the client never succeeded again. */
  longestSilence(sinceMs: number): number {
    let last = this.#firstAfter(sinceMs);
    if (last === this.#successesMs.length) return Infinity;
    let longest = this.#successesMs[last]! - (this.#successesMs[last - 1] ?? sinceMs);
    while (++last < this.#successesMs.length) {
      longest = Math.max(longest, this.#successesMs[last]! - this.#successesMs[last - 1]!);
    }
    return longest;
  }

  #firstAfter(sinceMs: number): number {
    const index = this.#successesMs.findLastIndex((successMs) => successMs <= sinceMs);
    return index + 1;
  }
}

/** What clients of one sort went through. */
export interface CallFigures {
  /** The longest silence of any one client that ended after the outage began; Infinity when one never ended. */
  readonly silenceMs: number;
  /** How often they were answered, from the outage on. */
  readonly answered: number;
  /** How often they failed, from the outage on, by code. */
  readonly failed: Readonly<Record<string, number>>;
  /** What was said along with each code, the first time. */
  readonly details: Readonly<Record<string, string>>;
}

/** What the clients with these logs went through since `sinceMs`. */
export function callFigures(logs: readonly CallLog[], sinceMs: number): CallFigures {
  const failed: Record<string, number> = {};
  const details: Record<string, string> = {};
  for (const failure of logs.flatMap(({ failures }) => failures)) {
    if (failure.atMs < sinceMs) continue;
    failed[failure.code] = (failed[failure.code] ?? 0) + 1;
    details[failure.code] ??= failure.details;
  }
  return {
    silenceMs: Math.max(0, ...logs.map((log) => log.longestSilence(sinceMs))),
    answered: logs.reduce((total, log) => total + log.successesSince(sinceMs), 0),
    failed,
    details,
  };
}
