import { describe, expect, test } from "bun:test";
import { quantile, ratiosOf, spreadOf } from "./spread.ts";

describe("a spread", () => {
  test("is the median, the least and the greatest of the rounds", () => {
    expect(spreadOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 });
  });

  test("of an even number of rounds has the mean of the two in the middle as its median", () => {
    expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
  });

  test("leaves out rounds without a figure", () => {
    expect(spreadOf([undefined, 5, undefined])).toEqual({ median: 5, min: 5, max: 5 });
    expect(spreadOf([undefined])).toBeUndefined();
    expect(spreadOf([])).toBeUndefined();
  });
});

describe("a ratio", () => {
  test("is taken round by round", () => {
    expect(ratiosOf([20, 60, 30], [10, 20, 10])).toEqual([2, 3, 3]);
  });

  test("of rounds is not the ratio of their medians", () => {
    // The machine was half as fast in the second round: both sides were, so the ratio is the same.
    expect(spreadOf(ratiosOf([30, 15, 33], [10, 5, 10]))).toEqual({ median: 3, min: 3, max: 3.3 });
  });

  test("is missing in a round that lacks either side, or whose base is zero", () => {
    expect(ratiosOf([20, undefined, 30, 40], [undefined, 2, 0, 20])).toEqual([
      undefined,
      undefined,
      undefined,
      2,
    ]);
    expect(ratiosOf([20, 30], [10])).toEqual([2, undefined]);
  });
});

describe("a quantile", () => {
  test("is the value at the nearest rank", () => {
    const sorted = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect([0, 0.5, 0.9, 0.99, 1].map((share) => quantile(sorted, share))).toEqual([1, 5, 9, 10, 10]);
  });

  test("of nothing is an error", () => {
    expect(() => quantile([], 0.5)).toThrow("no quantile of nothing");
  });
});
