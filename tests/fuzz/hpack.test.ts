/** HPACK under damaged blocks, against a decoder that is the RFC written down plainly (plain-hpack.ts). */
import { describe, expect } from "bun:test";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackDecoder, HpackError } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { type HeaderField, headerFieldBytes } from "../../src/hpack/header-field.ts";
import { STATIC_TABLE } from "../../src/hpack/static-table.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";
import { PlainHpackDecoder, PlainHpackError } from "./plain-hpack.ts";

const NAMES = [
  "a",
  "b",
  "a",
  "b",
  "c",
  "grpc-timeout",
  "token",
  "authorization",
  "x-long-name-".repeat(9),
  ":path",
  "te",
];
const VALUES = ["", "1", "2", "GET", "v".repeat(300), "/etcdserverpb.KV/Range", "\u00ff\u0000\u0080"];
/** A literal takes at most two strings, three integers of six octets, and a size update or two come before. */
const OVERHEAD_BYTES = 18;

function field(random: SeededRandom): HeaderField {
  if (random.chance(0.3)) return random.pick(STATIC_TABLE.slice(1));
  const value = random.chance(0.8) ? random.pick(VALUES) : latin1(garbage(random, random.pick([20, 5_000])));
  return { name: random.pick(NAMES), value, neverIndexed: random.chance(0.1) };
}

function fields(random: SeededRandom): HeaderField[] {
  return Array.from({ length: random.below(8) }, () => field(random));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** What came of a block: its fields, or that it is malformed. Any other error is a fault. */
function outcome(decode: () => readonly HeaderField[]): readonly HeaderField[] | "malformed" {
  try {
    return decode();
  } catch (error) {
    if (error instanceof HpackError || error instanceof PlainHpackError) return "malformed";
    throw error;
  }
}

describe("the HPACK decoder", () => {
  fuzz("reads blocks, whole, damaged or made of noise, as the RFC says", { inputs: 700 }, (random) => {
    const tableBytesMax = random.pick([0, random.below(140), random.below(140), 4096, 10_000]);
    const decoder = new HpackDecoder({ tableBytesMax });
    const plain = new PlainHpackDecoder(tableBytesMax);
    const encoder = new HpackEncoder({ tableBytesMax });
    const blocks: Uint8Array[] = [];
    for (let block = 0; block < 20; block++) {
      if (random.chance(0.2)) encoder.setPeerTableBytesMax(random.below(tableBytesMax + 1));
      const out = new ByteWriter();
      encoder.encode(fields(random), out);
      let bytes = random.chance(0.03) ? garbage(random, 60) : out.toBytes();
      if (random.chance(0.12)) bytes = mutated(bytes, random, blocks);
      else if (random.chance(0.4) && blocks.length > 0) bytes = random.pick(blocks);
      blocks.push(bytes);

      const listBytesMax = random.pick([Number.POSITIVE_INFINITY, 16_384, 200, 40]);
      // Within a larger chunk, whose other bytes are none of its business.
      const chunk = new Uint8Array(bytes.length + 9).fill(0x82);
      chunk.set(bytes, 4);
      const ours = outcome(() => decoder.decode(chunk, 4, 4 + bytes.length, listBytesMax));
      const theirs = outcome(() => plain.decode(bytes));
      expect(plain.tableBytes).toBeLessThanOrEqual(tableBytesMax);
      if (theirs === "malformed" || ours === "malformed") {
        expect(ours).toEqual(theirs);
        return;
      }
      expect(ours).toEqual(within(theirs, listBytesMax));
      expect(decoder.lastListBytes).toBe(theirs.reduce((sum, each) => sum + headerFieldBytes(each), 0));
      if (random.chance(0.4)) expect(tableBehind(blocks, tableBytesMax)).toEqual(plain.table);
    }
  });

  fuzz(
    "refuses a string of noise in Huffman code exactly where the RFC does",
    { inputs: 4_000 },
    (random) => {
      const text = garbage(random, 30);
      const bytes = Uint8Array.of(0x00, 0x01, 0x61, 0x80 | text.length, ...text);
      const ours = outcome(() => new HpackDecoder().decode(bytes, 0, bytes.length, Infinity));
      expect(ours).toEqual(outcome(() => new PlainHpackDecoder().decode(bytes)));
    },
  );
});

describe("the HPACK encoder", () => {
  fuzz(
    "writes what a plain decoder reads, whatever the peer's table, in bounded space",
    { inputs: 400 },
    (random) => {
      const tableBytesMax = random.pick([0, random.below(140), 4096, 10_000]);
      const encoder = new HpackEncoder({ tableBytesMax });
      const plain = new PlainHpackDecoder(tableBytesMax);
      encoder.setPeerTableBytesMax(tableBytesMax);
      const lists: HeaderField[][] = [];
      for (let block = 0; block < 15; block++) {
        if (random.chance(0.3)) encoder.setPeerTableBytesMax(random.below(tableBytesMax + 1));
        const list = lists.length > 0 && random.chance(0.4) ? random.pick(lists) : fields(random);
        lists.push(list);
        const out = new ByteWriter();
        encoder.encode(list, out);
        const textBytes = list.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
        expect(out.length).toBeLessThanOrEqual(textBytes + OVERHEAD_BYTES * (list.length + 1));
        const read = plain.decode(out.toBytes());
        expect(read.map(({ name, value }) => [name, value])).toEqual(
          list.map(({ name, value }) => [name, value]),
        );
      }
    },
  );
});

/** The fields that fit, in their order: one that does not fit closes the list. */
function within(list: readonly HeaderField[], listBytesMax: number): HeaderField[] {
  let bytes = 0;
  return list.filter((each) => (bytes += headerFieldBytes(each)) <= listBytesMax);
}

/** The dynamic entries of a decoder that has read `blocks`, newest first, as references to them tell. */
function tableBehind(blocks: readonly Uint8Array[], tableBytesMax: number): HeaderField[] {
  const decoder = new HpackDecoder({ tableBytesMax });
  for (const bytes of blocks) decoder.decode(bytes, 0, bytes.length, 0);
  const table: HeaderField[] = [];
  for (;;) {
    const index = STATIC_TABLE.length + table.length;
    const rest = index - 0x7f;
    const long = rest < 128 ? [0xff, rest] : [0xff, 0x80 | (rest & 0x7f), rest >> 7];
    const bytes = Uint8Array.from(rest < 0 ? [0x80 | index] : long);
    const found = outcome(() => decoder.decode(bytes, 0, bytes.length, Infinity));
    if (found === "malformed") return table;
    table.push(...found);
  }
}
