/** Heartbeats go at once while few come, and a piece every interval while many do. */
import { describe, expect, test } from "bun:test";
import { SendPace } from "../../../src/proxy/lease/send-pace.ts";

const INTERVAL_MS = 40;
const MANY = 10;

/** Sends `each` heartbeats at each of the times, as soon as they may go. Returns when that was. */
function sentAt(pace: SendPace, each: number, times: readonly number[]): number[] {
  return times.map((time) => {
    const at = time + Math.max(0, pace.waitMs(time));
    pace.sending(each, at);
    return at;
  });
}

describe("heartbeats", () => {
  test("of few clients go at once", () => {
    const times = Array.from({ length: 50 }, (_, index) => 1000 + index * 5);
    expect(sentAt(new SendPace(INTERVAL_MS, MANY), 1, times)).toEqual(times);
  });

  test("beyond many within an interval wait for its end", () => {
    const pace = new SendPace(INTERVAL_MS, MANY);
    pace.sending(MANY - 1, 1000);
    expect(pace.waitMs(1001)).toBe(0);
    pace.sending(1, 1001);
    expect(pace.waitMs(1002)).toBe(38);
    expect(pace.waitMs(1040)).toBe(0);
  });

  test("of a crowd go once an interval", () => {
    const pace = new SendPace(INTERVAL_MS, MANY);
    pace.sending(MANY, 1000);
    for (let interval = 1; interval < 10; interval++) {
      const beganMs = 1000 + interval * INTERVAL_MS;
      expect(pace.waitMs(beganMs)).toBe(0);
      pace.sending(MANY, beganMs);
      expect(pace.waitMs(beganMs + 1)).toBe(INTERVAL_MS - 1);
    }
  });

  test("go at once again when the crowd is gone", () => {
    const pace = new SendPace(INTERVAL_MS, MANY);
    pace.sending(100, 1000);
    pace.sending(1, 1040);
    expect(pace.waitMs(1041)).toBe(39);
    pace.sending(1, 1080);
    expect(pace.waitMs(1081)).toBe(0);
    pace.sending(100, 1081);
    expect(pace.waitMs(3000)).toBeLessThanOrEqual(0);
    pace.sending(1, 3000);
    expect(pace.waitMs(3001)).toBe(0);
  });
});
