import { expect, test } from "bun:test";
import fc from "fast-check";
import { quantile } from "../spread.ts";
import { LatencyHistogram } from "./latency-histogram.ts";

function histogramOf(durations: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const micros of durations) histogram.add(micros);
  return histogram;
}

test("short durations are told exactly", () => {
  const histogram = histogramOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 200]);
  expect([0, 0.1, 0.5, 0.9, 1].map((share) => histogram.quantile(share))).toEqual([0, 0, 4, 8, 200]);
  expect(histogram.total).toBe(10);
});

test("a quantile is never above the true one, nor below it by more than 0.8 %", () => {
  const durations = fc.array(fc.integer({ min: 0, max: 0x7fff_ffff }), { minLength: 1 });
  fc.assert(
    fc.property(durations, fc.double({ min: 0, max: 1, noNaN: true }), (micros, share) => {
      const exact = quantile(Float64Array.from(micros).sort(), share);
      const told = histogramOf(micros).quantile(share);
      expect(told).toBeLessThanOrEqual(exact);
      expect(told).toBeGreaterThanOrEqual(exact * 0.992);
    }),
  );
});

test("what is no duration is refused", () => {
  const histogram = new LatencyHistogram();
  for (const micros of [-1, Number.NaN, 2 ** 31]) expect(() => histogram.add(micros)).toThrow("no duration");
});

test("of nothing there is no quantile", () => {
  expect(() => new LatencyHistogram().quantile(0.5)).toThrow("no quantile of nothing");
});
