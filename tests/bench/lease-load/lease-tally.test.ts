import { expect, test } from "bun:test";
import { LATE_MICROS, LeaseTally } from "./lease-tally.ts";

function measuringTally(leases: number): LeaseTally {
  const tally = new LeaseTally(leases);
  tally.measuring = true;
  return tally;
}

test("answers belong to the heartbeats of their lease, the oldest first", () => {
  const tally = measuringTally(2);
  tally.noteSent(0, 1000);
  tally.noteSent(1, 1500);
  tally.noteSent(0, 2000);
  tally.noteAnswer(0, 3, 1100);
  tally.noteAnswer(0, 3, 2050);
  expect([tally.sent, tally.answered, tally.waiting]).toEqual([3, 2, 1]);
  expect([tally.latencies.quantile(0), tally.latencies.quantile(1)]).toEqual([50, 100]);
});

test("a heartbeat that waited too long is missing, and the answer is that of the next one", () => {
  const tally = measuringTally(1);
  tally.noteSent(0, 0);
  tally.noteSent(0, 1_000_000);
  tally.noteAnswer(0, 3, LATE_MICROS + 200_000);
  expect([tally.sent, tally.answered, tally.waiting]).toEqual([2, 1, 0]);
  expect(tally.latencies.quantile(1)).toBeGreaterThan(2_100_000);
  // Both were late only: the second answer is that of the second heartbeat.
  tally.noteAnswer(0, 3, LATE_MICROS + 300_000);
  expect([tally.answered, tally.surplus]).toEqual([1, 0]);
  tally.noteAnswer(0, 3, LATE_MICROS + 400_000);
  expect(tally.surplus).toBe(1);
});

test("heartbeats from before the measuring do not count, nor do their answers", () => {
  const tally = new LeaseTally(1);
  tally.noteSent(0, 0);
  tally.measuring = true;
  tally.noteSent(0, 100);
  tally.noteAnswer(0, 3, 110);
  expect([tally.sent, tally.answered, tally.waiting]).toEqual([1, 0, 1]);
  tally.measuring = false;
  tally.noteAnswer(0, 3, 130);
  expect([tally.answered, tally.latencies.quantile(1)]).toEqual([1, 30]);
});

test("an answer to nothing is surplus", () => {
  const tally = measuringTally(1);
  tally.noteAnswer(0, 3, 10);
  tally.noteSent(0, 20);
  tally.noteAnswer(0, 3, 30);
  tally.noteAnswer(0, 3, 40);
  expect([tally.answered, tally.surplus]).toEqual([1, 2]);
});

test("an answer without a time to live is none", () => {
  const tally = measuringTally(1);
  for (const ttlSeconds of [0, -1]) {
    tally.noteSent(0, 0);
    tally.noteAnswer(0, ttlSeconds, 10);
  }
  expect([tally.sent, tally.answered, tally.dead, tally.surplus]).toEqual([2, 0, 2, 0]);
});

test("of very many heartbeats without an answer the oldest are given up", () => {
  const tally = measuringTally(1);
  for (let sent = 0; sent < 100; sent++) tally.noteSent(0, sent);
  for (let answer = 0; answer < 100; answer++) tally.noteAnswer(0, 3, 200);
  expect([tally.sent, tally.answered, tally.surplus, tally.waiting]).toEqual([100, 64, 0, 0]);
  expect(tally.latencies.quantile(1)).toBeLessThanOrEqual(200 - 36);
});
