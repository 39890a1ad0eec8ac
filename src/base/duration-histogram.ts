/** How many things took how long: counts between fixed bounds, as Prometheus's histograms have them. */

/** Upper bounds of the durations that are told apart, in seconds: from what is answered out of memory to what a person waits for. */
export const DURATION_BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const BOUNDS_MS = Float64Array.from(DURATION_BOUNDS, (seconds) => seconds * 1000);

export class DurationHistogram {
  /** Up to each of `DURATION_BOUNDS` and beyond the one before; at last, beyond all. */
  readonly counts = new Float64Array(BOUNDS_MS.length + 1);
  /** All together, in milliseconds. */
  sumMs = 0;

  /** Something took `ms` milliseconds. */
  add(ms: number): void {
    let at = 0;
    while (at < BOUNDS_MS.length && ms > BOUNDS_MS[at]!) at++;
    this.counts[at]!++;
    this.sumMs += ms;
  }

  get empty(): boolean {
    return this.counts.every((count) => count === 0);
  }
}
