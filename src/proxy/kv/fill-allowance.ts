/**
 * How many answers of linearizable reads are kept for serializable ones.
 *
 * Keeping one costs half as much again as the read itself. While serializable reads come they earn it: all are kept.
 * Where nobody reads so, a rate is kept to that anybody's first read still profits from, and no load feels.
 */
import { type RateLimit, TokenBucket } from "../../base/token-bucket.ts";

/** Answers that one serializable read stands for. */
const EARNED_BY_A_READ = 16;
const EARNED_MAX = 100_000;

export class FillAllowance {
  readonly #unasked: TokenBucket;
  #earned = 0;

  /** `unasked`: how many are kept though nobody reads serializably. */
  constructor(unasked: RateLimit, nowMs: number) {
    this.#unasked = new TokenBucket(unasked, nowMs);
  }

  onSerializableRead(): void {
    if (this.#earned < EARNED_MAX) this.#earned += EARNED_BY_A_READ;
  }

  /** Whether another one may be kept. */
  take(nowMs: number): boolean {
    if (this.#earned === 0) return this.#unasked.take(nowMs);
    this.#earned--;
    return true;
  }
}
