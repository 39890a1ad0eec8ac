import { describe, expect, test } from "bun:test";
import { KeyRange } from "../../src/etcd/key-range.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** The range of a key and a range end, which must not be empty. */
function range(key: string, rangeEnd = ""): KeyRange {
  const range = KeyRange.of(bytes(key), bytes(rangeEnd));
  if (range === null) throw new Error("the range is empty");
  return range;
}

const bounds = (key: string, rangeEnd: string): [string, string | null] => {
  const { start, end } = range(key, rangeEnd);
  return [start, end];
};

describe("a watch's key range", () => {
  test("is a single key without a range end", () => {
    expect(bounds("a", "")).toEqual(["a", "a\0"]);
    expect(range("a").isSingleKey).toBe(true);
  });

  test("goes on from the key to no end with the range end \\0", () => {
    expect(bounds("a", "\0")).toEqual(["a", null]);
    expect(range("a", "\0").isSingleKey).toBe(false);
  });

  test("ends before the range end otherwise", () => {
    expect(bounds("a", "b")).toEqual(["a", "b"]);
    expect(bounds("a", "a\0\0")).toEqual(["a", "a\0\0"]);
    expect(range("a", "a\0\0").isSingleKey).toBe(false);
  });

  test("starts at the smallest key, \\0, when the key is empty", () => {
    expect(bounds("", "")).toEqual(["\0", "\0\0"]);
    expect(bounds("", "\0")).toEqual(["\0", null]);
    expect(bounds("", "b")).toEqual(["\0", "b"]);
  });

  test("is refused when no key lies in it", () => {
    expect(KeyRange.of(bytes("b"), bytes("b"))).toBeNull();
    expect(KeyRange.of(bytes("b"), bytes("a"))).toBeNull();
    expect(KeyRange.of(bytes("b\0"), bytes("b"))).toBeNull();
  });

  test("keeps every byte, and compares bytes as unsigned", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(KeyRange.of(all, new Uint8Array(0))?.toRequest().key).toEqual(Buffer.from(all));
    expect(range("\x7f", "\x80").contains("\x7f\xff")).toBe(true);
    expect(KeyRange.of(bytes("\x80"), bytes("\x7f"))).toBeNull();
  });

  test("does not change with the bytes that it was made of", () => {
    const key = bytes("a");
    const made = KeyRange.of(key, new Uint8Array(0));
    key[0] = 0x62;
    expect(made?.start).toBe("a");
  });
});

describe("a key range", () => {
  test("contains its start and not its end", () => {
    const keys = ["a", "b", "b\0", "c\xff", "d", "e"];
    expect(keys.filter((key) => range("b", "d").contains(key))).toEqual(["b", "b\0", "c\xff"]);
    expect(keys.filter((key) => range("b").contains(key))).toEqual(["b"]);
    expect(keys.filter((key) => range("d", "\0").contains(key))).toEqual(["d", "e"]);
  });

  test("covers itself and what lies inside", () => {
    const around = range("b", "d");
    const inside = [range("b", "d"), range("b", "c"), range("c", "d"), range("c"), range("c\xff")];
    expect(inside.every((other) => around.covers(other))).toBe(true);
  });

  test("does not cover what reaches out of it", () => {
    const around = range("b", "d");
    const beyond = [range("a", "d"), range("b", "d\0"), range("b", "\0"), range("d"), range("a")];
    expect(beyond.some((other) => around.covers(other))).toBe(false);
  });

  test("covers a range without an end only without one itself", () => {
    expect(range("b", "\0").covers(range("b", "\0"))).toBe(true);
    expect(range("b", "\0").covers(range("c", "z"))).toBe(true);
    expect(range("c", "\0").covers(range("b", "\0"))).toBe(false);
  });

  test("equals the same keys written in another way", () => {
    const [short, long] = [range("a"), range("a", "a\0")];
    expect([long.isSingleKey, short.equals(long), short.id === long.id]).toEqual([true, true, true]);
    expect(short.toRequest()).toEqual(long.toRequest());
  });

  test("shares its id with no other range", () => {
    const parts = ["", "\0", "1", "1:", ":", "a", "a\0", "ab"];
    const ranges = parts
      .flatMap((key) => parts.map((rangeEnd) => KeyRange.of(bytes(key), bytes(rangeEnd))))
      .filter((range) => range !== null);
    const clashes = ranges.flatMap((one) =>
      ranges.filter((other) => one.equals(other) !== (one.id === other.id)),
    );
    expect(ranges.length).toBeGreaterThan(20);
    expect(clashes).toEqual([]);
  });

  test.each([
    ["a single key", "a", ""],
    ["a prefix", "a", "b"],
    ["from a key on", "a", "\0"],
    ["all keys", "\0", "\0"],
    ["the smallest key", "\0", ""],
  ])("asks for the same again: %s", (_, key, rangeEnd) => {
    const request = range(key, rangeEnd).toRequest();
    expect(request).toEqual({ key: bytes(key), rangeEnd: bytes(rangeEnd) });
    expect(KeyRange.of(request.key, request.rangeEnd)?.equals(range(key, rangeEnd))).toBe(true);
  });
});

describe("two ranges meet", () => {
  const RANGES: readonly (readonly [key: string, rangeEnd: string])[] = [
    ["a", ""],
    ["a", "a\0\0"],
    ["a\0", ""],
    ["a", "b"],
    ["a", "c"],
    ["b", "c"],
    ["b", "\0"],
    ["\0", "\0"],
    ["c", ""],
  ];

  test("when some key lies in both, whichever is asked", () => {
    const keys = ["\0", "a", "a\0", "a\0\0", "aa", "b", "bb", "c", "d"];
    for (const [key, rangeEnd] of RANGES) {
      for (const [otherKey, otherEnd] of RANGES) {
        const one = range(key, rangeEnd);
        const other = range(otherKey, otherEnd);
        const shared = keys.some((key) => one.contains(key) && other.contains(key));
        expect([one.id, other.id, one.meets(other)]).toEqual([one.id, other.id, shared]);
      }
    }
  });

  test("not when one begins where the other ends", () => {
    expect(range("a", "b").meets(range("b", "c"))).toBe(false);
    expect(range("a").meets(range("a\0"))).toBe(false);
  });
});

test("a range of pieces of a message is the one of its key and range end", () => {
  const message = bytes("..key..kez..");
  const pieces = KeyRange.ofPieces(message, 2, 5, 7, 10);
  expect(pieces?.equals(range("key", "kez"))).toBe(true);
  expect(KeyRange.ofPieces(message, 2, 5, 0, 0)?.equals(range("key"))).toBe(true);
  expect(KeyRange.ofPieces(message, 7, 10, 2, 5)).toBeNull();
});
