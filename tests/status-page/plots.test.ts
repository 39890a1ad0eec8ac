/** What plots are drawn from: the history of ten minutes, and the scales of their axes. */
import { describe, expect, test } from "bun:test";
import { History, HISTORY_MS, POINTS_MAX } from "../../src/observe/status-page/model/history.ts";
import { timeTicks, valueTicks } from "../../src/observe/status-page/model/scale.ts";

const value = (told: number | null) => new Map([["line", told]]);

describe("the history", () => {
  test("keeps ten minutes", () => {
    const history = new History();
    for (let timeMs = 0; timeMs <= 2 * HISTORY_MS; timeMs += 2000) history.add(timeMs, value(timeMs));
    expect(history.points[0]!.timeMs).toBe(HISTORY_MS);
    expect(history.latest("line")).toBe(2 * HISTORY_MS);
    expect(history.range("line")).toEqual({ least: HISTORY_MS, greatest: 2 * HISTORY_MS });
  });

  test("is bounded in number, however often one adds", () => {
    const history = new History();
    for (let count = 0; count < 3 * POINTS_MAX; count++) history.add(count, value(count));
    expect(history.points.length).toBe(POINTS_MAX);
    expect(history.latest("line")).toBe(3 * POINTS_MAX - 1);
  });

  test("knows moments without a value", () => {
    const history = new History();
    expect([history.latest("line"), history.range("line")]).toEqual([null, null]);
    history.add(1, value(5));
    history.add(2, new Map());
    history.add(3, value(null));
    expect(history.latest("line")).toBeNull();
    expect(history.range("line")).toEqual({ least: 5, greatest: 5 });
  });
});

describe("ticks of values", () => {
  test.each([
    [0, [0, 0.5, 1]],
    [7, [0, 2, 4, 6, 8]],
    [60, [0, 20, 40, 60]],
    [2157, [0, 1000, 2000, 3000]],
    [0.0021, [0, 0.001, 0.002, 0.003]],
    [Number.POSITIVE_INFINITY, [0, 0.5, 1]],
  ])("up to %p", (greatest, ticks) => {
    expect(valueTicks(greatest, 10)).toEqual(ticks);
  });

  test("of bytes are round in powers of two", () => {
    const kib = 1024;
    expect(valueTicks(3000, 1024)).toEqual([0, kib, 2 * kib, 3 * kib]);
    expect(valueTicks(350 * kib, 1024)).toEqual([0, 128 * kib, 256 * kib, 384 * kib]);
    expect(valueTicks(0, 1024, 1)).toEqual([0, 1, 2]);
  });

  test("of what is counted are whole", () => {
    expect(valueTicks(0, 10, 1)).toEqual([0, 1, 2]);
    expect(valueTicks(1, 10, 1)).toEqual([0, 1, 2]);
  });

  test("reach the greatest value with no more than five steps, whatever that is", () => {
    for (let greatest = 1e-6; greatest < 1e12; greatest *= 1.37) {
      for (const base of [10, 1024] as const) {
        const ticks = valueTicks(greatest, base);
        expect(ticks.at(-1)!).toBeGreaterThanOrEqual(greatest * (1 - 1e-9));
        expect(ticks.length).toBeLessThanOrEqual(5);
        expect(ticks.length).toBeGreaterThanOrEqual(3);
      }
    }
  });
});

describe("ticks of time", () => {
  const minute = 60_000;

  test("are at full minutes, or parts of them", () => {
    expect(timeTicks(90_500, 90_500 + 2 * minute, 4)).toEqual([120_000, 150_000, 180_000, 210_000]);
    expect(timeTicks(1, 10 * minute, 5)).toEqual([2, 4, 6, 8, 10].map((at) => at * minute));
  });

  test("are full in the local time", () => {
    const zoneMs = 30_000;
    expect(timeTicks(0, 2 * minute, 2, zoneMs)).toEqual([30_000, 90_000]);
  });
});
