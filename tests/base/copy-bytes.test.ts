/** Copies of bytes keep nothing else alive, whatever kind of array they come from. */
import { describe, expect, test } from "bun:test";
import { copyBytes } from "../../src/base/copy-bytes.ts";

const kinds: readonly (readonly [name: string, make: (size: number) => Uint8Array])[] = [
  ["a Uint8Array", (size) => new Uint8Array(size)],
  // What sockets hand out: its own `slice` would be a view.
  ["a Buffer", (size) => Buffer.alloc(size)],
];

describe.each(kinds)("a copy out of %s", (_name, make) => {
  test.each([0, 1, 96, 97, 5000])("of %d bytes has those bytes, and storage for no more", (size) => {
    const bytes = make(size + 20);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i;
    const copy = copyBytes(bytes, 7, 7 + size);
    expect([...copy]).toEqual([...bytes.subarray(7, 7 + size)]);
    expect(copy.buffer.byteLength).toBe(size);
    bytes.fill(0xee);
    expect(copy.every((byte, i) => byte === ((i + 7) & 0xff))).toBe(true);
  });
});
