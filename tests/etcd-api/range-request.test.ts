import { describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { MalformedMessage } from "../../src/etcd/protobuf-cursor.ts";
import { RangeRequestReader } from "../../src/etcd/range-request.ts";
import { RangeRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runs } from "../properties/runs.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const SERIALIZABLE = Uint8Array.of(0x38, 1);
/** Field 99, a varint. */
const UNKNOWN = Uint8Array.of(0x98, 0x06, 7);

function encoded(request: MessageInitShape<typeof RangeRequestSchema>): Uint8Array {
  return toBinary(RangeRequestSchema, create(RangeRequestSchema, request));
}

/** Reads a message that lies in the middle of something else. */
function read(...parts: readonly Uint8Array[]): RangeRequestReader & { readonly shareable: boolean } {
  const message = Buffer.concat(parts);
  const chunk = Buffer.concat([Buffer.alloc(3, 0xff), message, Buffer.alloc(3, 0xff)]);
  const reader = new RangeRequestReader();
  const shareable = reader.read(chunk, 3, 3 + message.length);
  return Object.assign(reader, { shareable });
}

describe("the text of a request", () => {
  const plain = encoded({ key: bytes("k"), limit: 5n, revision: 7n, countOnly: true });

  test("is the same with and without `serializable`, wherever it stands", () => {
    const { text } = read(plain);
    expect(text).toBe(Buffer.from(plain).toString("latin1"));
    // Behind each field of the plain request: its key, its limit, its revision, its last one.
    for (const at of [0, 3, 5, 7, plain.length]) {
      const flagged = read(plain.subarray(0, at), SERIALIZABLE, plain.subarray(at));
      expect([flagged.text, flagged.serializable, flagged.shareable]).toEqual([text, true, true]);
      const off = read(plain.subarray(0, at), Uint8Array.of(0x38, 0x80, 0), plain.subarray(at));
      expect([off.text, off.serializable]).toEqual([text, false]);
    }
  });

  test("differs for requests that ask for something else", () => {
    const requests: MessageInitShape<typeof RangeRequestSchema>[] = [
      {},
      { key: bytes("k") },
      { key: bytes("l") },
      { key: bytes("k"), rangeEnd: bytes("l") },
      { key: bytes("k"), limit: 1n },
      { key: bytes("k"), revision: 1n },
      { key: bytes("k"), sortOrder: 1 },
      { key: bytes("k"), sortTarget: 1 },
      { key: bytes("k"), keysOnly: true },
      { key: bytes("k"), countOnly: true },
      { key: bytes("k"), minModRevision: 1n },
      { key: bytes("k"), maxModRevision: 1n },
      { key: bytes("k"), minCreateRevision: 1n },
      { key: bytes("k"), maxCreateRevision: 1n },
    ];
    const texts = requests.map((request) => read(encoded(request)).text);
    expect(new Set(texts).size).toBe(requests.length);
  });

  test("is none where an empty end stands for all keys from the first one on, to some members", () => {
    const emptyEnd = Uint8Array.of(0x12, 0);
    expect(read(encoded({ key: bytes("k") }), emptyEnd).shareable).toBe(false);
    expect(read(emptyEnd, encoded({ key: bytes("k") })).shareable).toBe(false);
    expect(read(encoded({ key: bytes("k"), rangeEnd: bytes("l") })).shareable).toBe(true);
  });

  test("has the fields that nobody knows yet", () => {
    const key = encoded({ key: bytes("k") });
    expect(read(key, UNKNOWN).text).not.toBe(read(key).text);
    expect(read(key, UNKNOWN, SERIALIZABLE).text).toBe(read(key, UNKNOWN).text);
    expect(read(key, SERIALIZABLE, UNKNOWN).text).toBe(read(key, UNKNOWN).text);
  });

  test("is none for a request that says `serializable` twice", () => {
    expect(read(plain, SERIALIZABLE, SERIALIZABLE).shareable).toBe(false);
    expect(read(SERIALIZABLE, plain, Uint8Array.of(0x38, 0)).shareable).toBe(false);
  });

  test("keeps every byte of a key", () => {
    const key = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(read(encoded({ key })).text).toBe(Buffer.from(encoded({ key })).toString("latin1"));
  });
});

test("says the same as a decoder, for every request", () => {
  const keys = fc.uint8Array({ maxLength: 4 });
  const numbers = fc.oneof(
    fc.bigInt({ min: -2n, max: 300n }),
    fc.bigInt({ min: -(2n ** 52n), max: 2n ** 52n }),
  );
  const requests = fc.record({
    key: keys,
    rangeEnd: keys,
    limit: numbers,
    revision: numbers,
    serializable: fc.boolean(),
    keysOnly: fc.boolean(),
    maxCreateRevision: numbers,
  });
  fc.assert(
    fc.property(requests, (fields) => {
      const { serializable, revision, text, range } = read(encoded(fields));
      const request = { ...fields, serializable: false };
      expect([serializable, revision]).toEqual([fields.serializable, Number(fields.revision)]);
      expect(fromBinary(RangeRequestSchema, bytes(text))).toEqual(create(RangeRequestSchema, request));
      expect(range).toEqual(KeyRange.of(fields.key, fields.rangeEnd));
    }),
    { numRuns: runs(300) },
  );
});

describe("the keys that an answer depends on", () => {
  test.each([
    ["a single key", "k", "", ["k", "k\0"]],
    ["a range", "k", "m", ["k", "m"]],
    ["from a key on", "k", "\0", ["k", null]],
    ["all keys", "\0", "\0", ["\0", null]],
    ["from the smallest key up to another", "", "m", ["\0", "m"]],
    ["no key at all, which etcd takes for the smallest", "", "", ["\0", "\0\0"]],
  ] as const)("are those of %s", (_, key, rangeEnd, bounds) => {
    const { range } = read(encoded({ key: bytes(key), rangeEnd: bytes(rangeEnd) }));
    expect([range?.start, range?.end]).toEqual([...bounds]);
  });

  test("are none for a range that ends before it starts", () => {
    expect(read(encoded({ key: bytes("m"), rangeEnd: bytes("k") })).range).toBeNull();
    expect(read(encoded({ key: bytes("m"), rangeEnd: bytes("m") })).range).toBeNull();
  });

  test("are those that are said last", () => {
    const { range } = read(
      encoded({ key: bytes("a"), rangeEnd: bytes("b") }),
      encoded({ key: bytes("a\0") }),
    );
    expect([range?.start, range?.end]).toEqual(["a\0", "b"]);
  });
});

describe("a malformed request", () => {
  test.each([
    ["a key that is cut short", [0x0a, 5, 0x6b]],
    ["a tag that is cut short", [0x8a]],
    ["a flag without a value", [0x38]],
    ["a group that another one ends", [0x7b, 0x84, 0x01]],
    ["the field number 0", [0x02, 0]],
    ["a number of more than ten bytes", [0x20, ...Array<number>(11).fill(0x80)]],
  ])("throws: %s", (_, message) => {
    expect(() => read(Uint8Array.from(message))).toThrow(MalformedMessage);
  });

  test("leaves nothing behind for the next one", () => {
    const reader = new RangeRequestReader();
    const first = encoded({ key: bytes("k"), rangeEnd: bytes("m"), revision: 4n, serializable: true });
    reader.read(first, 0, first.length);
    const second = encoded({ key: bytes("a") });
    reader.read(second, 0, second.length);
    expect([reader.serializable, reader.revision, reader.range?.start, reader.range?.end]).toEqual([
      false,
      0,
      "a",
      "a\0",
    ]);
  });
});
