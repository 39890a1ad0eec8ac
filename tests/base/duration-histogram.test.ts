import { expect, test } from "bun:test";
import { DURATION_BOUNDS, DurationHistogram } from "../../src/base/duration-histogram.ts";

test("the bounds rise", () => {
  expect(DURATION_BOUNDS).toEqual([...new Set(DURATION_BOUNDS)].sort((one, other) => one - other));
});

test("what lies on a bound counts as up to it, what lies beyond all bounds at last", () => {
  const histogram = new DurationHistogram();
  expect(histogram.empty).toBe(true);
  for (const seconds of DURATION_BOUNDS) histogram.add(seconds * 1000);
  expect([...histogram.counts]).toEqual([...DURATION_BOUNDS.map(() => 1), 0]);
  histogram.add(0);
  histogram.add(1_000_000);
  expect([histogram.counts[0], histogram.counts.at(-1)]).toEqual([2, 1]);
  expect(histogram.sumMs).toBeCloseTo(DURATION_BOUNDS.reduce((sum, bound) => sum + bound * 1000, 1_000_000));
  expect(histogram.empty).toBe(false);
});
