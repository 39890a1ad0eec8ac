import { describe, expect, test } from "bun:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { MalformedMessage, ProtobufCursor } from "../../src/etcd/protobuf-cursor.ts";

/** Skips the first field of `octets` and returns where the cursor stands then. */
function skipped(octets: readonly number[]): number {
  const bytes = Uint8Array.from(octets);
  const cursor = new ProtobufCursor();
  cursor.skip(bytes, cursor.tag(bytes, bytes.length), bytes.length);
  return cursor.at;
}

describe("a group", () => {
  test.each([
    ["without fields", [0x0b, 0x0c]],
    ["with fields", [0x0b, 0x10, 0x01, 0x1a, 0x01, 0x61, 0x0c]],
    ["with groups in it, of its own number too", [0x0b, 0x0b, 0x13, 0x14, 0x0c, 0x0c]],
    ["with an end inside a string", [0x0b, 0x1a, 0x01, 0x0c, 0x0c]],
  ])("%s is passed over", (_, group) => {
    expect(skipped([...group, 0x08, 0x01])).toBe(group.length);
  });

  test.each([
    ["without an end", [0x0b, 0x08, 0x01]],
    ["that the end of another one ends", [0x0b, 0x14]],
    ["whose inner one is not ended", [0x0b, 0x13, 0x0c]],
    ["of more than 64 in each other", [...Array<number>(65).fill(0x0b), ...Array<number>(65).fill(0x0c)]],
  ])("%s is malformed", (_, octets) => {
    expect(() => skipped(octets)).toThrow(MalformedMessage);
  });

  test("of 64 in each other is passed over", () => {
    expect(skipped([...Array<number>(64).fill(0x0b), ...Array<number>(64).fill(0x0c)])).toBe(128);
  });
});

test.each([0n, 1n, -1n, 2n ** 31n, 2n ** 32n, 2n ** 32n + 1n, 2n ** 53n + 1n, -(2n ** 63n) + 5n])(
  "%s is read as an int32 by its low 32 bits",
  (value) => {
    const bytes = new BinaryWriter().int64(value).finish();
    const cursor = new ProtobufCursor();
    expect(cursor.int32(bytes, bytes.length)).toBe(Number(BigInt.asIntN(32, value)));
    expect(cursor.at).toBe(bytes.length);
  },
);
