import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatTimeout, parseTimeout } from "../../src/grpc/timeout.ts";

describe("a grpc-timeout", () => {
  test.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["10S", 10_000],
    ["99999999m", 99_999_999],
    ["1500u", 1.5],
    ["250000n", 0.25],
    ["0S", 0],
  ])("%s is %d milliseconds", (text, ms) => {
    expect(parseTimeout(text)).toBeCloseTo(ms, 9);
  });

  test.each(["", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S", "1 S", "1SS"])("%j is none", (text) => {
    expect(parseTimeout(text)).toBeUndefined();
  });

  test("is written in the finest unit that has room", () => {
    expect(formatTimeout(1)).toBe("1000u");
    expect(formatTimeout(99_999)).toBe("99999000u");
    expect(formatTimeout(100_000)).toBe("100000m");
    expect(formatTimeout(100_000_000)).toBe("100000S");
    expect(formatTimeout(1e15)).toBe("99999999S");
  });

  test("that has passed is written as zero", () => {
    expect(formatTimeout(-5)).toBe("0u");
  });

  test("is at most eight digits, never shorter than what is left, and close to it", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 99_999_999_000, noNaN: true }), (ms) => {
        const text = formatTimeout(ms);
        expect(text).toMatch(/^[0-9]{1,8}[umS]$/);
        const read = parseTimeout(text)!;
        expect(read).toBeGreaterThanOrEqual(ms - 1e-6);
        expect(read - ms).toBeLessThanOrEqual(ms < 100_000 ? 0.0011 : ms < 100_000_000 ? 1.001 : 1000.001);
      }),
    );
  });
});
