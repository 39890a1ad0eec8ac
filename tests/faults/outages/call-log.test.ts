import { expect, test } from "bun:test";
import { callFigures, CallLog } from "./call-log.ts";

function logOf(...successesMs: readonly number[]): CallLog {
  const log = new CallLog("read");
  for (const successMs of successesMs) log.succeeded(successMs);
  return log;
}

test("a silence that began before the outage counts from its beginning", () => {
  expect(logOf(10, 20, 90, 100).longestSilence(30)).toBe(70);
});

test("silences that ended before the outage do not count", () => {
  expect(logOf(0, 500, 510, 520).longestSilence(505)).toBe(10);
});

test("the longest of all silences counts, not the first", () => {
  expect(logOf(0, 10, 20, 300, 310).longestSilence(5)).toBe(280);
});

test("a client that was never answered again was silent for ever", () => {
  expect(logOf(1, 2, 3).longestSilence(3)).toBe(Infinity);
  expect(logOf().longestSilence(0)).toBe(Infinity);
});

test("successes count from the outage on", () => {
  const log = logOf(1, 2, 3, 4);
  expect([0, 2, 4, 9].map((sinceMs) => log.successesSince(sinceMs))).toEqual([4, 2, 0, 0]);
});

test("figures are those of the client that fared worst, and the sum of what all did", () => {
  const [good, bad] = [logOf(1, 2, 3, 4), logOf(1, 40)];
  bad.failed(0, "UNAVAILABLE", "before the outage");
  bad.failed(10, "UNAVAILABLE", "no member");
  bad.failed(20, "UNAVAILABLE", "still no member");
  bad.failed(30, "UNKNOWN", "who knows");
  expect(callFigures([good, bad], 2)).toEqual({
    silenceMs: 39,
    answered: 3,
    failed: { UNAVAILABLE: 2, UNKNOWN: 1 },
    details: { UNAVAILABLE: "no member", UNKNOWN: "who knows" },
  });
});
