import { describe, expect, test } from "bun:test";
import { IntervalMap } from "../../src/base/interval-map.ts";

type Interval = readonly [start: string, end: string | null];

/** A map in which every interval has its own name, "<start>-<end>", for a value. */
function mapOf(...intervals: readonly Interval[]): IntervalMap<string> {
  const map = new IntervalMap<string>();
  for (const [start, end] of intervals) map.set(start, end, `${start}-${end ?? ""}`);
  return map;
}

function containing(map: IntervalMap<string>, key: string): string[] {
  const values: string[] = [];
  map.forEachContaining(key, (value) => values.push(value));
  return values;
}

function inside(map: IntervalMap<string>, start: string, end: string | null): string[] {
  const values: string[] = [];
  map.forEachInside(start, end, (value) => values.push(value));
  return values;
}

describe("an interval map", () => {
  test("gives the value of exactly the interval that was set", () => {
    const map = mapOf(["a", "c"], ["a", null], ["b", "b\0"]);
    expect([map.get("a", "c"), map.get("a", null), map.get("b", "b\0")]).toEqual(["a-c", "a-", "b-b\0"]);
    expect([map.get("a", "b"), map.get("b", "c"), map.get("a", "a\0")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(map.size).toBe(3);
  });

  test("has one value for each interval: the last one", () => {
    const map = mapOf(["a", "c"], ["b", "b\0"]);
    map.set("a", "c", "range");
    map.set("b", "b\0", "key");
    expect([map.size, map.get("a", "c"), map.get("b", "b\0")]).toEqual([2, "range", "key"]);
    expect(inside(map, "", null)).toEqual(["range", "key"]);
  });

  test("forgets what is deleted, once", () => {
    const map = mapOf(["a", "c"], ["b", "b\0"]);
    expect([map.delete("a", "c"), map.delete("a", "c")]).toEqual([true, false]);
    expect([map.delete("b", "b\0"), map.delete("b", "b\0")]).toEqual([true, false]);
    expect([map.size, ...containing(map, "b")]).toEqual([0]);
  });

  test("does not take an interval for another that only begins or ends with it", () => {
    const map = mapOf(["a", "c"]);
    expect([map.delete("a", "d"), map.delete("b", "c"), map.delete("a", null)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(map.size).toBe(1);
  });

  test("refuses an empty interval", () => {
    expect(() => mapOf(["b", "b"])).toThrow(RangeError);
    expect(() => mapOf(["b", "a"])).toThrow(RangeError);
  });

  test("is gone through by start, the widest first, and single keys last", () => {
    const map = mapOf(["b", "b\0"], ["b", "c"], ["a", "a\0"], ["b", null], ["a", "z"]);
    expect([...map].map(({ value }) => value)).toEqual(["a-z", "b-", "b-c", "a-a\0", "b-b\0"]);
    expect([...map].at(0)).toMatchObject({ start: "a", end: "z" });
  });
});

describe("the intervals that contain a key", () => {
  test("include their start and not their end", () => {
    const map = mapOf(["b", "d"]);
    expect(["a\xff", "b", "c\xff", "d"].map((key) => containing(map, key).length)).toEqual([0, 1, 1, 0]);
  });

  test("include those without an end, however large the key", () => {
    expect(containing(mapOf(["b", null]), "\xff\xff")).toEqual(["b-"]);
  });

  test("are visited by start, the widest first, and the key alone last", () => {
    const map = mapOf(["c", "c\0"], ["c", "d"], ["a", "d"], ["c", null], ["d", "e"], ["c\0", "d"]);
    expect(containing(map, "c")).toEqual(["a-d", "c-", "c-d", "c-c\0"]);
  });

  test("do not include a single key that only begins like it", () => {
    expect(containing(mapOf(["a", "a\0"]), "a\0")).toEqual([]);
  });

  test("are those of the beginning, whatever a visit changes", () => {
    const map = mapOf(["a", "z"], ["b", "z"], ["c", "c\0"]);
    const visited: string[] = [];
    map.forEachContaining("c", (value) => {
      visited.push(value);
      for (const { start, end } of map) map.delete(start, end);
      map.set("c", "d", "late");
    });
    expect(visited).toEqual(["a-z", "b-z", "c-c\0"]);
    expect(containing(map, "c")).toEqual(["late"]);
  });
});

describe("an interval that covers another", () => {
  const map = mapOf(["b", "f"], ["b", "d"], ["a", "c"], ["e", "g"], ["x", null], ["k", "k\0"]);

  test("is the one that starts first, and then the one that ends last", () => {
    expect(map.findCovering("b", "c")).toBe("a-c");
    expect(map.findCovering("b", "d")).toBe("b-f");
    expect(map.findCovering("e", "f")).toBe("b-f");
  });

  test("may be equal to it", () => {
    expect(map.findCovering("e", "g")).toBe("e-g");
    expect(map.findCovering("k", "k\0")).toBe("k-k\0");
  });

  test("is not put together from several", () => {
    expect(map.findCovering("a", "d")).toBeUndefined();
  });

  test("must have no end when the other has none", () => {
    expect(map.findCovering("y", null)).toBe("x-");
    expect(map.findCovering("b", null)).toBeUndefined();
  });

  test("may be a range around a single key", () => {
    expect(map.findCovering("f", "f\0")).toBe("e-g");
    expect(map.findCovering("h", "h\0")).toBeUndefined();
  });
});

describe("the intervals inside another", () => {
  test("include an equal one, and none that reaches out of it", () => {
    const map = mapOf(
      ["b", "d"],
      ["b", "e"],
      ["a", "c"],
      ["c", "d"],
      ["c", null],
      ["d", "d\0"],
      ["c", "c\0"],
    );
    expect(inside(map, "b", "d")).toEqual(["b-d", "c-d", "c-c\0"]);
  });

  test("include those without an end when it has none", () => {
    expect(inside(mapOf(["b", null], ["a", null], ["c", "d"]), "b", null)).toEqual(["b-", "c-d"]);
  });

  test("can be deleted by the visit", () => {
    const map = new IntervalMap<string>();
    for (let i = 100; i < 200; i++) map.set(`${i}`, `${i + 5}`, `${i}`);
    const visited: string[] = [];
    map.forEachInside("110", "130", (value) => {
      visited.push(value);
      map.delete(value, `${Number(value) + 5}`);
    });
    expect(visited).toEqual(Array.from({ length: 16 }, (_, i) => `${110 + i}`));
    expect(map.size).toBe(84);
  });
});
