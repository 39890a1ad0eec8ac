import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { CacheIndex } from "../../../src/proxy/kv/cache-index.ts";
import { CachedRead } from "../../../src/proxy/kv/cached-read.ts";
import { runs } from "../../properties/runs.ts";

const ANSWER = { head: [], bytes: new Uint8Array(0), start: 0, end: 0, trailers: [] };

function entry(text: string, key: string, rangeEnd = ""): CachedRead {
  const range = KeyRange.of(Buffer.from(key), Buffer.from(rangeEnd));
  if (range === null) throw new Error("the range is empty");
  return new CachedRead(new Map(), text, range, 0, ANSWER, 1, 0);
}

function on(index: CacheIndex, key: string): string[] {
  const texts: string[] = [];
  index.forEachOn(key, ({ text }) => texts.push(text));
  return texts.toSorted();
}

describe("the index", () => {
  test("counts keys and ranges, however many entries each has", () => {
    const index = new CacheIndex();
    const entries = [entry("1", "k"), entry("2", "k"), entry("3", "k", "m"), entry("4", "k", "m")];
    for (const each of entries) index.add(each);
    expect(index.size).toBe(2);
    expect(on(index, "k")).toEqual(["1", "2", "3", "4"]);
    expect(on(index, "l")).toEqual(["3", "4"]);
    for (const each of entries) index.remove(each);
    expect(index.size).toBe(0);
  });

  test("takes a range of one key for that key", () => {
    const index = new CacheIndex();
    index.add(entry("range", "k", "k\0"));
    expect(on(index, "k")).toEqual(["range"]);
    index.remove(entry("other", "l", "m"));
    expect(index.size).toBe(1);
  });

  test("lets entries go while they are visited", () => {
    const index = new CacheIndex();
    const entries = ["1", "2", "3"].flatMap((text) => [entry(text, "k"), entry(text, "a", "z")]);
    for (const each of entries) index.add(each);
    let visited = 0;
    index.forEachOn("k", (each) => {
      visited++;
      index.remove(each);
    });
    expect([visited, index.size]).toEqual([6, 0]);
    for (const each of entries) index.add(each);
    index.forEachIn(entries[1]!.range, (each) => index.remove(each));
    expect(index.size).toBe(0);
  });

  test("finds what a plain list finds, whatever comes and goes", () => {
    const keys = fc.constantFrom("a", "b", "c", "d");
    const ranges = fc
      .tuple(keys, fc.constantFrom("", "", "b", "c", "d", "e", "\0"))
      .filter(([key, rangeEnd]) => KeyRange.of(Buffer.from(key), Buffer.from(rangeEnd)) !== null);
    const steps = fc.array(fc.oneof(fc.record({ add: ranges }), fc.record({ remove: fc.nat(20) })));
    fc.assert(
      fc.property(steps, keys, ranges, (steps, key, [start, rangeEnd]) => {
        const index = new CacheIndex();
        let entries: CachedRead[] = [];
        steps.forEach((step, at) => {
          if ("add" in step) {
            const added = entry(`${at}`, ...step.add);
            entries.push(added);
            index.add(added);
          } else if (entries.length > 0) {
            const removed = entries[step.remove % entries.length]!;
            entries = entries.filter((each) => each !== removed);
            index.remove(removed);
          }
        });
        const texts = (list: CachedRead[]): string[] => list.map(({ text }) => text).toSorted();
        expect(on(index, key)).toEqual(texts(entries.filter(({ range }) => range.contains(key))));
        const range = KeyRange.of(Buffer.from(start), Buffer.from(rangeEnd))!;
        const found: CachedRead[] = [];
        index.forEachIn(range, (each) => found.push(each));
        expect(texts(found)).toEqual(texts(entries.filter((each) => range.meets(each.range))));
        expect(index.size).toBe(new Set(entries.map(({ range }) => range.id)).size);
      }),
      { numRuns: runs(300) },
    );
  });
});
