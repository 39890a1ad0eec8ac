/**
 * A log line that clients can cause as often as they like: written at most once in a while, with how often it applied.
 */
import type { Logger } from "../observe/log.ts";

const INTERVAL_MS = 5_000;

export class ThrottledLine {
  readonly #log: Logger;
  readonly #now: () => number;
  #clients = 0;
  #writtenMs = -Infinity;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Counts one client; writes the line, with the clients since the last one, if enough time has passed. */
  error(message: string, fields: () => Record<string, unknown>): void {
    this.#clients++;
    const nowMs = this.#now();
    if (nowMs - this.#writtenMs < INTERVAL_MS) return;
    this.#log.error(message, { ...fields(), clients: this.#clients });
    this.#clients = 0;
    this.#writtenMs = nowMs;
  }
}
