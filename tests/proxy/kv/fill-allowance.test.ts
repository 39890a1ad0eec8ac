/** Linearizable answers are kept as far as somebody may profit. */
import { describe, expect, test } from "bun:test";
import { FillAllowance } from "../../../src/proxy/kv/fill-allowance.ts";

function taken(allowance: FillAllowance, tries: number, nowMs: number): number {
  let count = 0;
  for (let n = 0; n < tries; n++) if (allowance.take(nowMs)) count++;
  return count;
}

describe("answers of linearizable reads", () => {
  test("are kept at a rate while nobody reads serializably", () => {
    const allowance = new FillAllowance({ burst: 10, perSecond: 10 }, 0);
    expect(taken(allowance, 100, 0)).toBe(10);
    expect(taken(allowance, 100, 500)).toBe(5);
    expect(taken(allowance, 100, 60_000)).toBe(10);
  });

  test("are all kept while a sixteenth of the reads is serializable", () => {
    const allowance = new FillAllowance({ burst: 0, perSecond: 0 }, 0);
    for (let n = 0; n < 1000; n++) {
      allowance.onSerializableRead();
      expect(taken(allowance, 16, n)).toBe(16);
    }
    expect(taken(allowance, 1, 1000)).toBe(0);
  });

  test("are kept for a while, not for ever, after many serializable reads", () => {
    const allowance = new FillAllowance({ burst: 0, perSecond: 0 }, 0);
    for (let n = 0; n < 1_000_000; n++) allowance.onSerializableRead();
    expect(taken(allowance, 1_000_000, 0)).toBeLessThan(101_000);
  });
});
