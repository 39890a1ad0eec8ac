import { describe, expect, test } from "bun:test";
import { inBatches } from "../../src/base/in-batches.ts";

/** How many items are acted on in one go, for each go. */
async function goes(count: number, spreadMs: number): Promise<number[]> {
  const sizes: number[] = [];
  let sameGo = false;
  await inBatches(
    Array.from({ length: count }, (_, index) => index),
    spreadMs,
    () => {
      if (!sameGo) {
        sameGo = true;
        sizes.push(0);
        queueMicrotask(() => {
          sameGo = false;
        });
      }
      sizes[sizes.length - 1]!++;
    },
  );
  return sizes;
}

describe("one thing done to very many", () => {
  test("is done to few at once", async () => {
    expect(await goes(128, 5_000)).toEqual([128]);
  });

  test("is done in batches, to each once", async () => {
    expect(await goes(300, 5_000)).toEqual([128, 128, 44]);
  });

  test("is done in larger batches where small ones would take too long", async () => {
    expect(await goes(1_000, 100)).toEqual([500, 500]);
    expect(await goes(1_000, 0)).toEqual([1_000]);
  });

  test("is done to those who are there when it begins", async () => {
    const items = new Set([1, 2]);
    const seen: number[] = [];
    await inBatches(items, 0, (item) => {
      seen.push(item);
      items.delete(2);
      items.add(3);
    });
    expect(seen).toEqual([1, 2]);
  });
});
