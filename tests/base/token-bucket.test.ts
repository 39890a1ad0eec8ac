import { expect, test } from "bun:test";
import { TokenBucket } from "../../src/base/token-bucket.ts";

/** Takes until nothing is left. */
function drain(bucket: TokenBucket, nowMs: number): number {
  let taken = 0;
  while (bucket.take(nowMs)) taken++;
  return taken;
}

test("a burst is taken at once, and no more", () => {
  expect(drain(new TokenBucket({ burst: 5, perSecond: 1 }, 0), 0)).toBe(5);
});

test("tokens come back at the rate", () => {
  const bucket = new TokenBucket({ burst: 5, perSecond: 10 }, 0);
  drain(bucket, 0);
  expect(bucket.take(99)).toBe(false);
  expect(drain(bucket, 100)).toBe(1);
  expect(drain(bucket, 400)).toBe(3);
});

test("a long silence fills it to the burst only", () => {
  const bucket = new TokenBucket({ burst: 5, perSecond: 10 }, 0);
  drain(bucket, 0);
  expect(drain(bucket, 1_000_000)).toBe(5);
});

test("asking in vain costs nothing", () => {
  const bucket = new TokenBucket({ burst: 1, perSecond: 1 }, 0);
  bucket.take(0);
  for (let nowMs = 0; nowMs < 1000; nowMs += 10) expect(bucket.take(nowMs)).toBe(false);
  expect(bucket.take(1000)).toBe(true);
});

test("the long run gives the rate, however the asking is spread", () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 100 }, 0);
  let taken = 0;
  for (let nowMs = 0; nowMs <= 10_000; nowMs += 7) if (bucket.take(nowMs)) taken++;
  expect(taken).toBeGreaterThanOrEqual(990);
  expect(taken).toBeLessThanOrEqual(1003);
});
