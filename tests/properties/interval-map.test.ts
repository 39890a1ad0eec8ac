/** The map of intervals against its plain twin, a list that is gone through from end to end. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type IntervalEntry, IntervalMap } from "../../src/base/interval-map.ts";
import { inserted, type IntervalNode, removed } from "../../src/base/interval-tree.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(300) });

type Entry = IntervalEntry<number>;

/** Few different keys, so that intervals meet: short ones, of the bytes where comparison could go wrong. */
const keys = fc.string({ unit: fc.constantFrom("\0", "a", "b", "\x7f", "\x80", "\xff"), maxLength: 3 });
const intervals = fc
  .oneof(
    { weight: 4, arbitrary: fc.tuple(keys, keys) },
    { weight: 1, arbitrary: keys.map((start): [string, null] => [start, null]) },
    { weight: 2, arbitrary: keys.map((key): [string, string] => [key, `${key}\0`]) },
  )
  .map(([one, other]): [string, string | null] =>
    other !== null && one > other ? [other, one] : [one, other],
  )
  .filter(([start, end]) => start !== end);
/** Sets an interval; or deletes it, or rather the one in the map that the number picks, if any. */
const commands = fc.array(
  fc.tuple(fc.constantFrom("set", "set", "delete", "delete one of them"), intervals, fc.nat()),
  { maxLength: 80 },
);

const reaches = (end: string | null, other: string | null): boolean =>
  end === null || (other !== null && end >= other);
const isSingleKey = ({ start, end }: Entry): boolean => end === `${start}\0`;

class NaiveMap {
  entries: Entry[] = [];

  without(start: string, end: string | null): Entry[] {
    return this.entries.filter((entry) => entry.start !== start || entry.end !== end);
  }

  set(start: string, end: string | null, value: number): void {
    this.entries = [...this.without(start, end), { start, end, value }];
  }

  /** Returns false when there was none. */
  delete(start: string, end: string | null): boolean {
    const before = this.entries.length;
    this.entries = this.without(start, end);
    return this.entries.length < before;
  }

  /** Ranges by start, the widest first, then single keys by key. */
  inOrder(keep: (entry: Entry) => boolean = () => true): Entry[] {
    return this.entries.filter(keep).toSorted((a, b) => {
      if (isSingleKey(a) !== isSingleKey(b)) return isSingleKey(a) ? 1 : -1;
      if (a.start !== b.start) return a.start < b.start ? -1 : 1;
      return reaches(a.end, b.end) ? -1 : 1;
    });
  }
}

function built(
  steps: readonly (readonly [string, [string, string | null], number])[],
): [IntervalMap<number>, NaiveMap] {
  const map = new IntervalMap<number>();
  const twin = new NaiveMap();
  steps.forEach(([command, interval, pick], value) => {
    let [start, end] = interval;
    if (command === "set") {
      map.set(start, end, value);
      twin.set(start, end, value);
    } else {
      const picked = twin.entries[pick % twin.entries.length];
      if (command !== "delete" && picked !== undefined) ({ start, end } = picked);
      expect(map.delete(start, end)).toBe(twin.delete(start, end));
    }
    expect(map.size).toBe(twin.entries.length);
  });
  return [map, twin];
}

const values = (entries: readonly Entry[]): number[] => entries.map(({ value }) => value);

describe("a map of intervals, whatever is set and deleted,", () => {
  test("holds what a list would hold, in order", () => {
    fc.assert(
      fc.property(commands, intervals, (steps, [start, end]) => {
        const [map, twin] = built(steps);
        expect(values([...map])).toEqual(values(twin.inOrder()));
        for (const entry of twin.entries) expect(map.get(entry.start, entry.end)).toBe(entry.value);
        const equal = twin.entries.find((entry) => entry.start === start && entry.end === end);
        expect(map.get(start, end)).toBe(equal?.value);
      }),
    );
  });

  test("knows the intervals that contain a key", () => {
    fc.assert(
      fc.property(commands, keys, (steps, key) => {
        const [map, twin] = built(steps);
        const visited: number[] = [];
        map.forEachContaining(key, (value) => visited.push(value));
        const expected = twin.inOrder(({ start, end }) => start <= key && (end === null || key < end));
        expect(visited).toEqual(values(expected));
      }),
    );
  });

  test("knows the widest interval that covers another", () => {
    fc.assert(
      fc.property(commands, intervals, (steps, [start, end]) => {
        const [map, twin] = built(steps);
        const covering = twin.inOrder((entry) => entry.start <= start && reaches(entry.end, end));
        expect(map.findCovering(start, end)).toBe(covering[0]?.value);
      }),
    );
  });

  test("knows the intervals inside another", () => {
    fc.assert(
      fc.property(commands, intervals, (steps, [start, end]) => {
        const [map, twin] = built(steps);
        const visited: number[] = [];
        map.forEachInside(start, end, (value) => visited.push(value));
        const expected = twin.inOrder((entry) => entry.start >= start && reaches(end, entry.end));
        expect(visited).toEqual(values(expected));
      }),
    );
  });
});

/** The levels of a tree, after its nodes were found to be right about themselves and no side two levels lower. */
function checkedLevels(tree: IntervalNode<number> | null): number {
  if (tree === null) return 0;
  const left = checkedLevels(tree.left);
  const right = checkedLevels(tree.right);
  expect(Math.abs(left - right)).toBeLessThanOrEqual(1);
  expect(tree.height).toBe(Math.max(left, right) + 1);
  const ends = [tree.end, ...[tree.left, tree.right].flatMap((side) => (side === null ? [] : [side.endMax]))];
  expect(tree.endMax).toBe(ends.reduce((one, other) => (reaches(one, other) ? one : other)));
  return tree.height;
}

test("the tree of intervals is balanced after every change", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(60), fc.nat(1)), { minLength: 20, maxLength: 120 });
  fc.assert(
    fc.property(steps, (steps) => {
      let tree: IntervalNode<number> | null = null;
      for (const [isInsert, number, width] of steps) {
        const start = String.fromCharCode(100 + number);
        const end = String.fromCharCode(101 + number + 40 * width);
        tree = isInsert ? inserted(tree, start, end, number) : removed(tree, start, end);
        checkedLevels(tree);
      }
    }),
  );
});
