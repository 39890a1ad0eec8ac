import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { inWeightedOrder } from "../../src/endpoints/weighted-order.ts";
import type { SrvRecord } from "../../src/net/resolver.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(100) });

/** A small generator of even chances (mulberry32), so that draws are the same in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const records: fc.Arbitrary<SrvRecord[]> = fc.array(
  fc.record({
    priority: fc.integer({ min: 0, max: 3 }),
    weight: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })),
    port: fc.integer({ min: 1, max: 65_535 }),
    hostname: fc.domain(),
  }),
);

describe("the order of SRV records", () => {
  test("has every record once and leaves the given list alone", () => {
    fc.assert(
      fc.property(records, fc.integer(), (given, seed) => {
        const before = [...given];
        const ordered = inWeightedOrder(given, seededRandom(seed));
        expect(given).toEqual(before);
        expect(ordered).toHaveLength(given.length);
        expect(new Set(ordered)).toEqual(new Set(given));
      }),
    );
  });

  test("never goes back in priority, and has records without weight last in each", () => {
    fc.assert(
      fc.property(records, fc.integer(), (given, seed) => {
        const ranks = inWeightedOrder(given, seededRandom(seed)).map(
          ({ priority, weight }) => priority * 2 + (weight === 0 ? 1 : 0),
        );
        expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
      }),
    );
  });

  /** How often each weight comes first in `draws` orders, as a share. */
  function sharesOfFirst(weights: readonly number[], draws: number, seed: number): number[] {
    const random = seededRandom(seed);
    const given = weights.map((weight, index) => ({ priority: 0, weight, port: 1, hostname: String(index) }));
    const firsts = weights.map(() => 0);
    for (let draw = 0; draw < draws; draw++) {
      const first = Number(inWeightedOrder(given, random)[0]?.hostname);
      firsts[first] = (firsts[first] ?? 0) + 1;
    }
    return firsts.map((count) => count / draws);
  }

  const weightings: { weights: number[] }[] = [
    { weights: [1, 1] },
    { weights: [1, 2, 3] },
    { weights: [3, 2, 1] },
    { weights: [0, 1, 3] },
    { weights: [0, 0, 0] },
    { weights: [100, 1] },
  ];

  test.each(weightings)("gives each of the weights $weights its share of first places", ({ weights }) => {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const shares = sharesOfFirst(weights, 20_000, 42);
    for (const [index, weight] of weights.entries()) {
      // Five standard deviations of 20 000 draws are below 0.018.
      expect(Math.abs((shares[index] ?? 0) - (sum === 0 ? 1 / weights.length : weight / sum))).toBeLessThan(
        0.018,
      );
    }
  });

  test("gives the second place by the weights that are left", () => {
    const random = seededRandom(7);
    const given = [1, 2, 3].map((weight) => ({ priority: 0, weight, port: 1, hostname: String(weight) }));
    const orders = Array.from({ length: 20_000 }, () => inWeightedOrder(given, random));
    const afterThree = orders.filter(([first]) => first?.weight === 3);
    const twoSecond = afterThree.filter(([, second]) => second?.weight === 2);
    expect(Math.abs(twoSecond.length / afterThree.length - 2 / 3)).toBeLessThan(0.03);
  });
});
