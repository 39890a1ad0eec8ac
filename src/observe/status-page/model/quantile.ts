/** Quantiles out of a histogram's buckets, as Prometheus estimates them. */
import type { Sample } from "./exposition.ts";

/** How many observations were at most `upperBound`. */
export interface Bucket {
  readonly upperBound: number;
  readonly count: number;
}

/** The buckets of `…_bucket` samples; those of several label sets with the same bound are added up. */
export function bucketsOf(samples: Iterable<Sample>): Bucket[] {
  const counts = new Map<number, number>();
  for (const { labels, value } of samples) {
    const text = labels["le"] ?? "";
    const upperBound = text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text);
    if (text !== "" && !Number.isNaN(upperBound))
      counts.set(upperBound, (counts.get(upperBound) ?? 0) + value);
  }
  return [...counts]
    .map(([upperBound, count]) => ({ upperBound, count }))
    .sort((a, b) => a.upperBound - b.upperBound);
}

/**
 * The value that the part `quantile` (0 to 1) of the observations does not exceed: within its bucket they are taken to be
 * spread evenly. Beyond the last bound it is that bound: more is not known. Null without an observation.
 */
export function quantileOf(quantile: number, buckets: readonly Bucket[]): number | null {
  const total = buckets.at(-1)?.count ?? 0;
  if (!(total > 0)) return null;
  const rank = quantile * total;
  const at = buckets.findIndex(({ count }) => count >= rank);
  const { upperBound, count } = buckets[at]!;
  const { upperBound: lowerBound, count: below } = buckets[at - 1] ?? { upperBound: 0, count: 0 };
  if (upperBound === Number.POSITIVE_INFINITY) return lowerBound;
  return count === below
    ? upperBound
    : lowerBound + ((upperBound - lowerBound) * (rank - below)) / (count - below);
}
