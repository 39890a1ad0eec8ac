/**
 * A rate limit with a burst: `take` succeeds `burst` times at once and `perSecond` times a second for ever.
 *
 * Time is a parameter, in milliseconds of any monotonic clock.
 */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(limit: RateLimit, nowMs: number) {
    this.#burst = limit.burst;
    this.#perSecond = limit.perSecond;
    this.#tokens = limit.burst;
    this.#filledAtMs = nowMs;
  }

  /** Takes one token; false when none is left. */
  take(nowMs: number): boolean {
    if (this.#tokens < 1) {
      const elapsedMs = nowMs - this.#filledAtMs;
      this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000);
      this.#filledAtMs = nowMs;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }
}

export interface RateLimit {
  /** Events allowed at once. */
  readonly burst: number;
  /** Events allowed each second in the long run. */
  readonly perSecond: number;
}
