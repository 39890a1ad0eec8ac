import { describe, expect, test } from "bun:test";
import { inWeightedOrder } from "../../src/endpoints/weighted-order.ts";
import type { SrvRecord } from "../../src/net/resolver.ts";

const record = (hostname: string, priority: number, weight: number): SrvRecord => ({
  hostname,
  priority,
  weight,
  port: 2379,
});

const names = (records: readonly SrvRecord[], random = 0): string =>
  inWeightedOrder(records, () => random)
    .map(({ hostname }) => hostname)
    .join("");

describe("RFC 2782: SRV records", () => {
  test("of a lower priority number come first, whatever their weight", () => {
    expect(names([record("b", 10, 65_535), record("c", 20, 1), record("a", 0, 0)])).toBe("abc");
  });

  test("of one priority take their turn by the share of their weight", () => {
    const records = [record("a", 0, 1), record("b", 0, 2), record("c", 0, 1)];
    expect([0, 0.24, 0.25, 0.74, 0.75, 0.99].map((random) => names(records, random)[0]).join("")).toBe(
      "aabbcc",
    );
  });

  test("without weight come after those that have one, and by equal chance among themselves", () => {
    expect(names([record("z", 0, 0), record("a", 0, 1)])).toBe("az");
    expect(names([record("x", 0, 0), record("y", 0, 0)], 0.5)).toBe("yx");
  });
});
