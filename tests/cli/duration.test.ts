import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, parseDuration } from "../../src/cli/duration.ts";

describe("a duration in Go's notation", () => {
  test.each([
    ["0", 0],
    ["-0", 0],
    ["0s", 0],
    ["1ms", 1],
    ["500ms", 500],
    ["1.5s", 1_500],
    [".5s", 500],
    ["1.s", 1_000],
    ["+3s", 3_000],
    ["1m30s", 90_000],
    ["1m", 60_000],
    ["2h", 7_200_000],
    ["1h0m0.5s", 3_600_500],
    ["1h1h", 7_200_000],
    ["1.001s", 1_001],
    ["4.35s", 4_350],
    ["1000us", 1],
    ["1000\u00b5s", 1],
    ["1000\u03bcs", 1],
    ["1000000ns", 1],
    ["-2s", -2_000],
    ["2562047h", 9_223_369_200_000],
  ])("%s is read as %d ms", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each([
    ["1ns", 1],
    ["1.2ms", 2],
    ["999us", 1],
    ["-1ns", -1],
    ["0.0000000001h", 1],
  ])("%s, which is not zero, is rounded away from zero to %d ms", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each([
    "",
    "5",
    "s",
    ".s",
    "-",
    "+",
    "1m30",
    "1 s",
    " 1s",
    "1s ",
    "1d",
    "1S",
    "0x1s",
    "1e3s",
    "--1s",
    "1m-1s",
    "1,5s",
    "2562048h",
  ])("%j is no duration", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test("a text without end is refused", () => {
    expect(parseDuration(`${"9".repeat(1_000_000)}s`)).toBeUndefined();
  });

  test.each([
    [0, "0"],
    [1, "1ms"],
    [1_500, "1s500ms"],
    [60_000, "1m"],
    [90_000, "1m30s"],
    [7_200_000, "2h"],
    [3_600_500, "1h500ms"],
  ])("%d ms are written as %s", (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  test("what is written is read back as the same number of milliseconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 43 }), (milliseconds) => {
        expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
      }),
    );
  });

  test("hours, minutes, seconds and milliseconds add up in any order", () => {
    const unit = fc.constantFrom(
      ["h", 3_600_000] as const,
      ["m", 60_000] as const,
      ["s", 1_000] as const,
      ["ms", 1] as const,
    );
    const part = fc.tuple(fc.integer({ min: 0, max: 10_000 }), unit);
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const text = parts.map(([count, [name]]) => `${count}${name}`).join("");
        const sum = parts.reduce((total, [count, [, milliseconds]]) => total + count * milliseconds, 0);
        expect(parseDuration(text)).toBe(sum);
      }),
    );
  });

  test("no text makes reading throw", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789.+-hmsnu\u00b5".split("")) })),
        (text) => {
          const milliseconds = parseDuration(text);
          expect(milliseconds === undefined || Number.isSafeInteger(milliseconds)).toBe(true);
        },
      ),
    );
  });
});
