/**
 * Counts durations in fixed buckets, so that millions of them cost no memory and a few nanoseconds each.
 *
 * Below 128 µs every microsecond has its bucket; above, every power of two has 128 (a bucket is less than 0.8 %
 * wide). Invariant: a quantile is told as the lowest duration of its bucket.
 */

const SUB_BUCKET_BITS = 7;
const SUB_BUCKETS = 1 << SUB_BUCKET_BITS;
const MICROS_MAX = 0x7fff_ffff;
const BUCKETS = (32 - SUB_BUCKET_BITS) * SUB_BUCKETS;

export class LatencyHistogram {
  readonly #counts = new Int32Array(BUCKETS);

  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** Counts a duration in whole microseconds. @throws Error when it is none from 0 to half an hour. */
  add(micros: number): void {
    if (!(micros >= 0 && micros <= MICROS_MAX)) throw new Error(`${micros} is no duration in microseconds`);
    // How often to halve it until it is below 256.
    const halvings = Math.max(0, 32 - SUB_BUCKET_BITS - 1 - Math.clz32(micros));
    this.#counts[(halvings << SUB_BUCKET_BITS) + (micros >>> halvings)]! += 1;
  }

  /** The duration in microseconds within which `share` (0 to 1) of all lie. @throws Error when there is none. */
  quantile(share: number): number {
    const { total } = this;
    if (total === 0) throw new Error("no quantile of nothing");
    const rank = Math.max(1, Math.ceil(share * total));
    let seen = 0;
    let bucket = 0;
    while ((seen += this.#counts[bucket]!) < rank) bucket++;
    const halvings = Math.max(0, (bucket >>> SUB_BUCKET_BITS) - 1);
    return (bucket - (halvings << SUB_BUCKET_BITS)) * 2 ** halvings;
  }
}
