/** Quantiles of a histogram, as `histogram_quantile` of Prometheus estimates them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bucketsOf, quantileOf } from "../../src/observe/status-page/model/quantile.ts";

const sample = (le: string, value: number) => ({ labels: { le }, value });

describe("quantiles", () => {
  const buckets = bucketsOf([sample("0.1", 50), sample("0.2", 90), sample("0.4", 100), sample("+Inf", 100)]);

  test("lie within their bucket, spread evenly", () => {
    expect(quantileOf(0.25, buckets)).toBeCloseTo(0.05, 9);
    expect(quantileOf(0.5, buckets)).toBeCloseTo(0.1, 9);
    expect(quantileOf(0.7, buckets)).toBeCloseTo(0.15, 9);
    expect(quantileOf(0.95, buckets)).toBeCloseTo(0.3, 9);
    expect(quantileOf(1, buckets)).toBeCloseTo(0.4, 9);
  });

  test("beyond the last bound are that bound", () => {
    const slow = bucketsOf([sample("0.1", 1), sample("+Inf", 100)]);
    expect(quantileOf(0.99, slow)).toBe(0.1);
  });

  test("are null without an observation, and without a bucket", () => {
    expect([quantileOf(0.5, []), quantileOf(0.5, bucketsOf([sample("1", 0), sample("+Inf", 0)]))]).toEqual([
      null,
      null,
    ]);
  });

  test("are of several methods together where their buckets are", () => {
    const both = bucketsOf([sample("1", 1), sample("+Inf", 1), sample("1", 0), sample("+Inf", 1)]);
    expect(both).toEqual([
      { upperBound: 1, count: 1 },
      { upperBound: Number.POSITIVE_INFINITY, count: 2 },
    ]);
  });

  test("grow with their part, and lie in the bucket that holds the observation of their rank", () => {
    const bounds = [0.001, 0.01, 0.1, 1, 10];
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1 }), (observed) => {
        const told = bucketsOf([
          ...bounds.map((bound) => sample(String(bound), observed.filter((value) => value <= bound).length)),
          sample("+Inf", observed.length),
        ]);
        const sorted = observed.toSorted((a, b) => a - b);
        let before = 0;
        for (const part of [0.01, 0.5, 0.95, 0.99, 1]) {
          const estimate = quantileOf(part, told)!;
          const exact = sorted[Math.ceil(part * sorted.length) - 1]!;
          const upper = bounds.find((bound) => exact <= bound)!;
          const lower = bounds[bounds.indexOf(upper) - 1] ?? 0;
          expect(estimate).toBeGreaterThanOrEqual(Math.max(before, lower));
          expect(estimate).toBeLessThanOrEqual(upper * (1 + 1e-9));
          before = estimate;
        }
      }),
    );
  });
});
