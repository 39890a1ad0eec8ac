import { expect, test } from "bun:test";
import { Backoff } from "../../src/base/backoff.ts";

const backoff = (random: number): Backoff =>
  new Backoff({ firstMs: 50, limitMs: 1000, random: () => random });

test("each pause is twice the last, up to the limit", () => {
  const whole = backoff(1);
  expect(Array.from({ length: 7 }, () => whole.next())).toEqual([50, 100, 200, 400, 800, 1000, 1000]);
});

test("jitter takes up to half of a pause away", () => {
  const half = backoff(0);
  expect(Array.from({ length: 3 }, () => half.next())).toEqual([25, 50, 100]);
});

test("a success starts over", () => {
  const pauses = backoff(1);
  pauses.next();
  pauses.next();
  pauses.reset();
  expect(pauses.next()).toBe(50);
});

test("any number of failures keeps to the limit", () => {
  const pauses = backoff(1);
  for (let i = 0; i < 5000; i++) expect(pauses.next()).toBeLessThanOrEqual(1000);
});
