/** Laws of HPACK that hold for any input (RFC 7541). */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { BlockCursor } from "../../src/hpack/block-cursor.ts";
import { HpackDecoder, HpackError } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { type HeaderField, headerField, headerFieldBytes } from "../../src/hpack/header-field.ts";
import { decodeHuffman, encodeHuffman } from "../../src/hpack/huffman.ts";
import { decodeInteger, encodeInteger, INTEGER_BYTES_MAX, INTEGER_MAX } from "../../src/hpack/integer.ts";
import { STATIC_TABLE } from "../../src/hpack/static-table.ts";
import { runs } from "./runs.ts";

const CREDENTIALS = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie", "token"]);

const octets = (lengthMax: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength: lengthMax, size: "max" }).map((bytes) => Buffer.from(bytes).toString("latin1"));

const name = fc.oneof(
  fc.constantFrom("a", "b", "x-long-name-".repeat(9), "grpc-timeout", "token", "te", ...CREDENTIALS),
  fc.constantFrom(...STATIC_TABLE.slice(1).map((field) => field.name)),
  octets(20),
);
const value = fc.oneof(
  fc.constantFrom("", "1", "2", "3", "GET", "200", "v".repeat(300)),
  octets(200),
  octets(5000),
);
const freeField: fc.Arbitrary<HeaderField> = fc.record({
  name,
  value,
  neverIndexed: fc.boolean(),
});
const field = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...STATIC_TABLE.slice(1)) },
  { weight: 6, arbitrary: fc.tuple(name, fc.constantFrom("1", "2", "3")).map(([n, v]) => headerField(n, v)) },
  { weight: 2, arbitrary: freeField },
);

/** One step of a connection: a new size from the peer, or a block, by its number among the lists. */
const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ tableBytes: fc.oneof(fc.nat(200), fc.nat(10_000)) }) },
  { weight: 8, arbitrary: fc.record({ list: fc.nat(11) }) },
);

/** What a list looks like after the way: credentials come out never-indexed. */
function delivered(list: readonly HeaderField[]): HeaderField[] {
  return list.map((one) => ({ ...one, neverIndexed: one.neverIndexed || CREDENTIALS.has(one.name) }));
}

describe("HPACK", () => {
  test("decoding gives the encoded lists back, over blocks that share one table of any changing size", () => {
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.nat(10_000),
        fc.array(fc.array(field, { maxLength: 12, size: "max" }), {
          minLength: 1,
          maxLength: 12,
          size: "max",
        }),
        fc.array(step, { maxLength: 80, size: "max" }),
        (decoderBytesMax, encoderBytesMax, lists, steps) => {
          const decoder = new HpackDecoder({ tableBytesMax: decoderBytesMax });
          const encoder = new HpackEncoder({ tableBytesMax: encoderBytesMax });
          encoder.setPeerTableBytesMax(decoderBytesMax);
          const out = new ByteWriter();
          for (const one of steps) {
            if ("tableBytes" in one) {
              encoder.setPeerTableBytesMax(Math.min(one.tableBytes, decoderBytesMax));
              continue;
            }
            const list = lists[one.list % lists.length]!;
            const start = out.length;
            encoder.encode(list, out);
            expect(decoder.decode(out.bytes, start, out.length, Infinity)).toEqual(delivered(list));
            expect(decoder.lastListBytes).toBe(list.reduce((sum, part) => sum + headerFieldBytes(part), 0));
          }
        },
      ),
      { numRuns: runs(400) },
    );
  });

  test("any bytes decode or throw an HpackError, and never make a list larger than the limit", () => {
    const block = fc.oneof(
      fc.uint8Array({ maxLength: 300, size: "max" }),
      // Mostly small indexes and short literals, so that the table fills and is used.
      fc.array(
        fc.constantFrom(0x82, 0xbe, 0xbf, 0xc5, 0x40, 0x41, 0x7e, 0x00, 0x10, 0x01, 0x61, 0x82, 0x20, 0x3f),
      ),
    );
    fc.assert(
      fc.property(fc.array(block, { maxLength: 30, size: "max" }), fc.nat(2000), (blocks, listBytesMax) => {
        const decoder = new HpackDecoder();
        for (const bytes of blocks) {
          try {
            const fields = decoder.decode(Uint8Array.from(bytes), 0, bytes.length, listBytesMax);
            const listBytes = fields.reduce((sum, part) => sum + headerFieldBytes(part), 0);
            expect(listBytes).toBeLessThanOrEqual(listBytesMax);
            if (decoder.lastListBytes <= listBytesMax) expect(listBytes).toBe(decoder.lastListBytes);
          } catch (error) {
            if (!(error instanceof HpackError)) throw error;
            return;
          }
        }
      }),
      { numRuns: runs(2000) },
    );
  });

  test("a valid block that is cut or damaged decodes or throws an HpackError", () => {
    fc.assert(
      fc.property(
        fc.array(field, { minLength: 1, maxLength: 8 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (list, position, damage) => {
          const out = new ByteWriter();
          new HpackEncoder().encode(list, out);
          const bytes = out.toBytes();
          const at = position % bytes.length;
          expectDecodedOrRefused(bytes.subarray(0, at));
          bytes[at]! ^= damage;
          expectDecodedOrRefused(bytes);
        },
      ),
      { numRuns: runs(1000) },
    );
  });

  test("references mean what a plain list of the newest fields says, whatever is remembered of blocks", () => {
    const insertion = fc.record({ insert: fc.integer({ min: 0x21, max: 0x7e }) });
    const references = fc.record({ references: fc.array(fc.nat(9), { maxLength: 6, size: "max" }) });
    const resize = fc.record({ fields: fc.nat(7) });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(insertion, references, references, resize), { maxLength: 100, size: "max" }),
        (steps) => {
          const decoder = new HpackDecoder({ tableBytesMax: 7 * 34 });
          // The plain twin: values only, newest first; each field takes 34 bytes.
          let fieldsMax = 7;
          let twin: string[] = [];
          const decode = (...bytes: number[]): string[] =>
            decoder.decode(Uint8Array.from(bytes), 0, bytes.length, 4096).map((part) => part.value);
          for (const one of steps) {
            if ("insert" in one) {
              expect(decode(0x40, 1, 0x61, 1, one.insert)).toEqual([String.fromCharCode(one.insert)]);
              twin = [String.fromCharCode(one.insert), ...twin].slice(0, fieldsMax);
            } else if ("fields" in one) {
              fieldsMax = one.fields;
              const bytes = new Uint8Array(INTEGER_BYTES_MAX);
              decode(...bytes.subarray(0, encodeInteger(bytes, 0, 0x20, 0x1f, fieldsMax * 34)));
              twin = twin.slice(0, fieldsMax);
            } else {
              const known = one.references.filter((position) => position < twin.length);
              expect(decode(...known.map((position) => 0xbe + position))).toEqual(known.map((i) => twin[i]!));
            }
          }
          expect(() => decode(0xbe + twin.length)).toThrow(HpackError);
        },
      ),
      { numRuns: runs(500) },
    );
  });
});

/** Fails on any outcome but a list or an HpackError. */
function expectDecodedOrRefused(bytes: Uint8Array): void {
  let outcome: unknown;
  try {
    outcome = new HpackDecoder().decode(bytes, 0, bytes.length, 65_536);
  } catch (error) {
    outcome = error;
  }
  expect(Array.isArray(outcome) || outcome instanceof HpackError).toBe(true);
}

describe("Huffman code", () => {
  test("decoding gives any octets back", () => {
    fc.assert(
      fc.property(octets(600), (text) => {
        const bytes = new Uint8Array(text.length * 4);
        const end = encodeHuffman(text, bytes, 0, bytes.length);
        expect(decodeHuffman(bytes, 0, end)).toBe(text);
      }),
      { numRuns: runs(2000) },
    );
  });

  test("what any bytes decode to encodes to the same bytes, so that each string has one code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40, size: "max" }), (coded) => {
        let text: string;
        try {
          text = decodeHuffman(coded, 0, coded.length);
        } catch (error) {
          expect(error).toBeInstanceOf(HpackError);
          return;
        }
        const bytes = new Uint8Array(coded.length);
        expect(encodeHuffman(text, bytes, 0, bytes.length)).toBe(coded.length);
        expect([...bytes]).toEqual([...coded]);
      }),
      { numRuns: runs(3000) },
    );
  });
});

describe("integers", () => {
  test("decoding gives any value back, for any prefix, and leaves the flags alone", () => {
    const value = fc.oneof(fc.integer({ min: 0, max: INTEGER_MAX }), fc.nat(300), fc.constant(INTEGER_MAX));
    fc.assert(
      fc.property(value, fc.integer({ min: 1, max: 8 }), fc.nat(255), (value, prefixBits, allFlags) => {
        const prefixMax = (1 << prefixBits) - 1;
        const flags = allFlags & ~prefixMax;
        const bytes = new Uint8Array(INTEGER_BYTES_MAX);
        const end = encodeInteger(bytes, 0, flags, prefixMax, value);
        const cursor = new BlockCursor();
        cursor.open(bytes, 0, end);
        expect(decodeInteger(cursor, prefixMax)).toBe(value);
        expect(cursor.at).toBe(end);
        expect(bytes[0]! & ~prefixMax).toBe(flags);
      }),
      { numRuns: runs(2000) },
    );
  });
});
