/**
 * A log line that clients can cause as often as they like: written at most once in a while, with how often it applied.
 *
 * Those that came behind a line are told when the while is over, so that no burst ends untold.
 */
import type { Logger } from "../observe/log.ts";

const INTERVAL_MS = 5_000;

export class ThrottledLine {
  readonly #log: Logger;
  readonly #now: () => number;
  #clients = 0;
  #writtenMs = -Infinity;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Counts one client; writes the line, with the clients since the last one, once enough time has passed. */
  error(message: string, fields: () => Record<string, unknown>): void {
    this.#clients++;
    const leftMs = this.#writtenMs + INTERVAL_MS - this.#now();
    if (leftMs <= 0) {
      this.#write(message, fields());
    } else if (this.#timer === null) {
      const told = fields();
      this.#timer = setTimeout(() => {
        this.#timer = null;
        if (this.#clients > 0) this.#write(message, told);
      }, leftMs);
      this.#timer.unref();
    }
  }

  #write(message: string, fields: Record<string, unknown>): void {
    this.#log.error(message, { ...fields, clients: this.#clients });
    this.#clients = 0;
    this.#writtenMs = this.#now();
  }
}
