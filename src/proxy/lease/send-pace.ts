/**
 * When heartbeats may be sent: at once while few come, else a piece of them every interval.
 *
 * Whether many come is told by the interval before: a lone client never waits, and a crowd costs both sides a
 * wake-up for each interval, not for each client.
 */
export class SendPace {
  readonly #intervalMs: number;
  readonly #many: number;
  /** The interval that runs: when it began, and what was sent in it. */
  #beganMs = Number.NEGATIVE_INFINITY;
  #sent = 0;
  /** Many were sent in the one before. */
  #crowded = false;

  /** `many`: so many heartbeats within `intervalMs` milliseconds are a crowd. */
  constructor(intervalMs: number, many: number) {
    this.#intervalMs = intervalMs;
    this.#many = many;
  }

  /** `count` heartbeats are sent now. */
  sending(count: number, nowMs: number): void {
    const sinceMs = nowMs - this.#beganMs;
    if (sinceMs >= this.#intervalMs) {
      this.#crowded = this.#sent >= this.#many && sinceMs < 2 * this.#intervalMs;
      this.#beganMs = nowMs;
      this.#sent = 0;
    }
    this.#sent += count;
  }

  /** How long what is ready has to wait, in milliseconds; 0 or less: not at all. */
  waitMs(nowMs: number): number {
    return this.#crowded || this.#sent >= this.#many ? this.#beganMs + this.#intervalMs - nowMs : 0;
  }
}
