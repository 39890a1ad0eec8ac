/**
 * How long the event loop is held up: how much later than asked for a timer fires.
 *
 * Measured only while somebody asks for it, and told as the longest of the last quarter to half minute, so that who asks as
 * seldom as every quarter of a minute is shown all that happened. Each worker has a loop of its own.
 */
import { REAL_TIMERS, type Timers } from "../base/clock.ts";

/** How often it is measured, in milliseconds: whatever holds up the loop for longer is seen for certain. */
const SAMPLE_MS = 100;
/** Half of the time that is looked back on, in milliseconds. */
const WINDOW_MS = 15_000;
/** Measured on for so long after somebody has asked, in milliseconds. */
const INTEREST_MS = 120_000;

export class EventLoopDelay {
  readonly #clock: Timers;
  #measuring = false;
  #askedAtMs = 0;
  #windowEndsAtMs = 0;
  #longestMs = 0;
  #longestBeforeMs = 0;

  constructor(clock: Timers = REAL_TIMERS) {
    this.#clock = clock;
  }

  /** The longest of late, in seconds; 0 when nobody has asked for a while. */
  seconds(): number {
    const nowMs = this.#clock.nowMs();
    this.#askedAtMs = nowMs;
    if (!this.#measuring) {
      this.#measuring = true;
      this.#longestMs = 0;
      this.#longestBeforeMs = 0;
      this.#windowEndsAtMs = nowMs + WINDOW_MS;
      this.#sample(nowMs);
    }
    return Math.max(this.#longestMs, this.#longestBeforeMs) / 1000;
  }

  #sample(nowMs: number): void {
    this.#clock.after(SAMPLE_MS, () => {
      const firedAtMs = this.#clock.nowMs();
      if (firedAtMs > this.#windowEndsAtMs) {
        this.#longestBeforeMs = this.#longestMs;
        this.#longestMs = 0;
        this.#windowEndsAtMs = firedAtMs + WINDOW_MS;
      }
      this.#longestMs = Math.max(this.#longestMs, firedAtMs - nowMs - SAMPLE_MS);
      if (firedAtMs - this.#askedAtMs < INTEREST_MS) this.#sample(firedAtMs);
      else this.#measuring = false;
    });
  }
}
