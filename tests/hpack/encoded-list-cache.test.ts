import { describe, expect, test } from "bun:test";
import { EncodedListCache } from "../../src/hpack/encoded-list-cache.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";

function newList(): readonly HeaderField[] {
  return [headerField(":method", "GET")];
}

describe("encoded lists", () => {
  test("a list is known by its identity, not by its content", () => {
    const cache = new EncodedListCache();
    const list = newList();
    cache.store(list, Uint8Array.of(0x82), 0, 1);
    expect(cache.find(list)?.bytes).toEqual(Uint8Array.of(0x82));
    expect(cache.find(newList())).toBeUndefined();
  });

  test("what is kept is a copy of the part of the output that was named", () => {
    const cache = new EncodedListCache();
    const list = newList();
    const output = Uint8Array.of(1, 2, 3, 4);
    cache.store(list, output, 1, 3);
    output.fill(0);
    expect(cache.find(list)?.bytes).toEqual(Uint8Array.of(2, 3));
  });

  test("an encoding of 256 bytes is kept, one of 257 is not", () => {
    const cache = new EncodedListCache();
    const [short, long] = [newList(), newList()];
    cache.store(short, new Uint8Array(300), 0, 256);
    cache.store(long, new Uint8Array(300), 0, 257);
    expect(cache.find(short)?.bytes.length).toBe(256);
    expect(cache.find(long)).toBeUndefined();
  });

  test("eight are kept, and a ninth takes the place of the oldest", () => {
    const cache = new EncodedListCache();
    const lists = Array.from({ length: 9 }, newList);
    for (const list of lists) cache.store(list, Uint8Array.of(0x82), 0, 1);
    expect(lists.map((list) => cache.find(list) !== undefined)).toEqual([false, ...Array(8).fill(true)]);
  });

  test("after a change of the table none is known", () => {
    const cache = new EncodedListCache();
    const list = newList();
    cache.store(list, Uint8Array.of(0x82), 0, 1);
    cache.clear();
    expect(cache.find(list)).toBeUndefined();
  });

  test("a list came before when at most seven new ones came since", () => {
    const cache = new EncodedListCache();
    const list = newList();
    expect(cache.cameBefore(list)).toBe(false);
    for (let i = 0; i < 7; i++) expect(cache.cameBefore(newList())).toBe(false);
    expect(cache.cameBefore(list)).toBe(true);
    cache.cameBefore(newList());
    expect(cache.cameBefore(list)).toBe(false);
  });
});
