import { describe, expect, test } from "bun:test";
import { BlockCursor } from "../../src/hpack/block-cursor.ts";
import { HpackError } from "../../src/hpack/hpack-error.ts";
import { decodeInteger, encodeInteger, INTEGER_BYTES_MAX, INTEGER_MAX } from "../../src/hpack/integer.ts";
import { fromHex, toHex } from "./wire.ts";

function decode(hex: string, prefixMax: number): number {
  const bytes = fromHex(hex);
  const cursor = new BlockCursor();
  cursor.open(bytes, 0, bytes.length);
  const value = decodeInteger(cursor, prefixMax);
  expect(cursor.at).toBe(bytes.length);
  return value;
}

function encode(value: number, prefixMax: number, flags = 0): string {
  const bytes = new Uint8Array(INTEGER_BYTES_MAX);
  return toHex(bytes.subarray(0, encodeInteger(bytes, 0, flags, prefixMax, value)));
}

// RFC 7541 C.1: value, prefix, octets.
const EXAMPLES: readonly (readonly [number, number, string])[] = [
  [10, 0x1f, "0a"],
  [1337, 0x1f, "1f9a0a"],
  [42, 0xff, "2a"],
];

describe("RFC 7541 §5.1 integers", () => {
  test.each(EXAMPLES)("C.1: %d with prefix mask %d is %s, both ways", (value, prefixMax, hex) => {
    expect(encode(value, prefixMax)).toBe(hex);
    expect(decode(hex, prefixMax)).toBe(value);
  });

  test("the value that fills the prefix takes a second octet of zero", () => {
    expect(encode(31, 0x1f)).toBe("1f00");
    expect(decode("1f00", 0x1f)).toBe(31);
  });

  test("the bits above the prefix are the representation's and no part of the value", () => {
    expect(encode(5, 0x1f, 0x20)).toBe("25");
    expect(decode("e5", 0x1f)).toBe(5);
  });

  test("2^31 - 1 is accepted in the five continuation octets that it needs", () => {
    expect(encode(INTEGER_MAX, 0x7f)).toBe("7f80ffffff07");
    expect(decode("7f80ffffff07", 0x7f)).toBe(INTEGER_MAX);
  });

  test("zeroes behind the value are accepted up to five continuation octets", () => {
    expect(decode("1f8080808000", 0x1f)).toBe(31);
  });

  test.each([
    ["one above 2^31 - 1", "7f81ffffff07", "above 2147483647"],
    ["a value that would wrap at 32 bits", "7f808080807f", "above 2147483647"],
    ["a sixth continuation octet", "7f808080808000", "more than 5 continuation octets"],
    ["an end inside the continuation", "7f80", "ends inside an integer"],
    ["an end behind a full prefix", "7f", "ends inside an integer"],
    ["an end before the prefix", "", "ends where an integer should start"],
  ])("%s is an error", (_, hex, message) => {
    expect(() => decode(hex, 0x7f)).toThrow(HpackError);
    expect(() => decode(hex, 0x7f)).toThrow(message);
  });
});
