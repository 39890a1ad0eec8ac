import { expect, test } from "bun:test";
import { SeededRandom } from "./seeded-random.ts";
import { ZipfChoice } from "./zipf-choice.ts";

const DRAWS = 500_000;

function drawn(things: number, exponent: number, seed: number): Float64Array {
  const choice = new ZipfChoice(things, exponent);
  const random = new SeededRandom(seed);
  const counts = new Float64Array(things);
  for (let draw = 0; draw < DRAWS; draw++) counts[choice.at(random.next())]! += 1;
  return counts;
}

test("each rank comes as often as its power says", () => {
  const counts = drawn(1000, 0.99, 1);
  const total = Array.from({ length: 1000 }, (_, rank) => (rank + 1) ** -0.99).reduce((a, b) => a + b);
  for (const rank of [1, 2, 3, 10, 50]) {
    const expected = (DRAWS * rank ** -0.99) / total;
    expect(Math.abs(counts[rank - 1]! - expected)).toBeLessThan(5 * Math.sqrt(expected));
  }
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(DRAWS);
  expect(counts.every((count) => count > 0)).toBe(true);
});

test("with an exponent of 0 all come alike", () => {
  const counts = drawn(10, 0, 7);
  for (const count of counts) expect(Math.abs(count - DRAWS / 10)).toBeLessThan(5 * Math.sqrt(DRAWS / 10));
});

test("the ends of the random numbers are the first and the last thing", () => {
  const choice = new ZipfChoice(1000, 0.99);
  expect([choice.at(0), choice.at(1 - 2 ** -32)]).toEqual([0, 999]);
  expect(new ZipfChoice(1, 0.99).at(0.5)).toBe(0);
});

test("a seed always gives the same numbers, and another one others", () => {
  const first = (seed: number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 5 }, () => random.next());
  };
  expect(first(3)).toEqual(first(3));
  expect(first(3)).not.toEqual(first(4));
  for (const number of [...first(0), ...first(1)]) {
    expect(number).toBeGreaterThanOrEqual(0);
    expect(number).toBeLessThan(1);
  }
});
