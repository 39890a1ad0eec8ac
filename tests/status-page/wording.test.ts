/** Numbers, times and states as the status page words them. */
import { describe, expect, test } from "bun:test";
import { elapsed, partOf, ratio, type Unit, worded } from "../../src/observe/status-page/model/wording.ts";

const plain = (text: string): string => text.replaceAll("\u202f", " ");

describe("values", () => {
  test.each<[number | null, Unit, string]>([
    [null, "count", "–"],
    [Number.NaN, "count", "–"],
    [Number.POSITIVE_INFINITY, "seconds", "–"],
    [0, "count", "0"],
    [12, "count", "12"],
    [1_234_567, "count", "1 234 567"],
    [0.125, "perSecond", "0.13/s"],
    [12.345, "perSecond", "12.3/s"],
    [2157.4, "perSecond", "2 157/s"],
    [0, "seconds", "0"],
    [0.000_123, "seconds", "123 µs"],
    [0.00125, "seconds", "1.25 ms"],
    [0.9994, "seconds", "999 ms"],
    [12.5, "seconds", "12.5 s"],
    [0, "bytes", "0 B"],
    [1023, "bytes", "1 023 B"],
    [1536, "bytes", "1.5 KiB"],
    [3.4 * 1024 ** 2, "bytesPerSecond", "3.4 MiB/s"],
    [5 * 1024 ** 6, "bytes", "5 242 880 TiB"],
    [0.714, "part", "71.4 %"],
    [1, "part", "100 %"],
  ])("%p as %p is %p", (value, unit, text) => {
    expect(plain(worded(value, unit))).toBe(text);
  });

  test("ratios and parts are of something", () => {
    expect([ratio(60, 1), ratio(11, 8), ratio(0, 1), ratio(5, 0), ratio(null, 1)]).toEqual([
      "60 : 1",
      "1.38 : 1",
      "–",
      "–",
      "–",
    ]);
    expect([partOf(3, 1), partOf(0, 0), partOf(null, null), partOf(null, 4)]).toEqual([0.75, null, null, 0]);
  });

  test("times are told in two units", () => {
    const second = 1000;
    const minute = 60 * second;
    const hour = 60 * minute;
    const told = [-5, 0, 5 * second, 65 * second, hour, 3 * hour + 12 * minute, 99 * hour].map(elapsed);
    expect(told).toEqual(["0 s", "0 s", "5 s", "1 min 5 s", "1 h", "3 h 12 min", "4 d 3 h"]);
  });
});
