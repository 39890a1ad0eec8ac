/**
 * What HPACK costs, in nanoseconds per operation: `bun tests/bench/hpack.bench.ts [name part]`.
 *
 * The blocks are those of a running gRPC connection: after the first call nearly every field is in a
 * table, and what varies is the deadline. Each figure is the best of several runs, as other work on the
 * machine only ever adds.
 */

import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";
import { decodeHuffman, encodeHuffman } from "../../src/hpack/huffman.ts";
import { latin1Text } from "../../src/hpack/latin1.ts";

const RUNS = 7;
const WARM_UP = 100_000;
const OPERATIONS = 500_000;
const LIST_BYTES_MAX = 16_384;

const filter = process.argv[2] ?? "";
let sink = 0;

/** Measures `operation`, which gets a running number. */
function measure(name: string, operation: (i: number) => number): void {
  if (!name.includes(filter)) return;
  for (let i = 0; i < WARM_UP; i++) sink += operation(i);
  let best = Infinity;
  for (let run = 0; run < RUNS; run++) {
    const startedNs = Bun.nanoseconds();
    for (let i = 0; i < OPERATIONS; i++) sink += operation(i);
    best = Math.min(best, (Bun.nanoseconds() - startedNs) / OPERATIONS);
  }
  console.log(`${name.padEnd(62)} ${best.toFixed(1).padStart(8)} ns`);
}

const callFields: readonly HeaderField[] = [
  headerField(":method", "POST"),
  headerField(":scheme", "http"),
  headerField(":path", "/etcdserverpb.KV/Range"),
  headerField(":authority", "127.0.0.1:2379"),
  headerField("content-type", "application/grpc"),
  headerField("user-agent", "grpc-go/1.79.3"),
  headerField("te", "trailers"),
];
const answerFields = [headerField(":status", "200"), headerField("content-type", "application/grpc")];
const trailerFields = [headerField("grpc-status", "0"), headerField("grpc-message", "")];
const timeouts = Array.from({ length: 256 }, (_, i) => `${4_999_000 + i * 3}u`);
const jwt = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.".repeat(14).slice(0, 500);

function encodeBlock(encoder: HpackEncoder, fields: readonly HeaderField[]): Uint8Array {
  const out = new ByteWriter();
  encoder.encode(fields, out);
  return out.toBytes();
}

/** Feeds blocks to one decoder in turn. */
function measureDecode(
  name: string,
  blocks: readonly Uint8Array[],
  firstBlocks: readonly Uint8Array[],
): void {
  const decoder = new HpackDecoder();
  for (const block of firstBlocks) decoder.decode(block, 0, block.length, LIST_BYTES_MAX);
  measure(`decode: ${name}`, (i) => {
    const block = blocks[i % blocks.length]!;
    return decoder.decode(block, 0, block.length, LIST_BYTES_MAX).length;
  });
}

{
  const encoder = new HpackEncoder();
  const first = encodeBlock(encoder, callFields);
  const repeated = encodeBlock(encoder, [...callFields]);
  measureDecode(`the same ${repeated.length}-byte block of 7 indexed fields`, [repeated], [first]);
}
{
  const encoder = new HpackEncoder();
  const first = [encodeBlock(encoder, answerFields), encodeBlock(encoder, trailerFields)];
  const repeated = [encodeBlock(encoder, [...answerFields]), encodeBlock(encoder, [...trailerFields])];
  measureDecode("headers and trailers of an answer in turn", repeated, first);
}
{
  // As nghttp2 sends it (h2load, grpc-js): the path is a literal without indexing.
  const path = "/etcdserverpb.KV/Range";
  const literal = Uint8Array.of(0x83, 0x86, 0x04, path.length, ...new TextEncoder().encode(path), 0xbe, 0xbf);
  const encoder = new HpackEncoder();
  const first = encodeBlock(encoder, [headerField("te", "trailers"), headerField("user-agent", "h2load")]);
  measureDecode(`the same ${literal.length}-byte block with a literal path`, [literal], [first]);
}
{
  // As etcd's Go client sends it: the deadline enters the table each time and moves the other indexes.
  const decoder = new HpackDecoder();
  const encoder = new HpackEncoder();
  const first = encodeBlock(encoder, [...callFields, headerField("grpc-timeout", "5S")]);
  decoder.decode(first, 0, first.length, LIST_BYTES_MAX);
  const block = new Uint8Array(32);
  const out = new ByteWriter();
  let inserted = 0;
  measure("decode: Go client, 7 indexed fields and a new grpc-timeout", (i) => {
    // Six fields went in at first; after 60 deadlines they come back in, long before eviction.
    if (inserted === 60) {
      inserted = 0;
      decoder.decode(first, 0, first.length, LIST_BYTES_MAX);
    }
    out.bytes = block;
    out.length = 0;
    writeGoCall(out, inserted++, timeouts[i & 255]!);
    return decoder.decode(block, 0, out.length, LIST_BYTES_MAX).length;
  });
  measure("        of that, making the block", (i) => {
    out.bytes = block;
    out.length = 0;
    writeGoCall(out, i % 60, timeouts[i & 255]!);
    return out.length;
  });
}
{
  const encoder = new HpackEncoder();
  const first = encodeBlock(encoder, [...callFields, headerField("grpc-timeout", "5S")]);
  const blocks = timeouts.map((value) =>
    encodeBlock(encoder, [...callFields, headerField("grpc-timeout", value)]),
  );
  measureDecode("etcdproxy client, a new grpc-timeout without indexing", blocks, [first]);
}
{
  // Fourteen orders of the same fields: more than the cache holds.
  const encoder = new HpackEncoder();
  const first = encodeBlock(encoder, callFields);
  const rotations = callFields.map((_, i) => [...callFields.slice(i), ...callFields.slice(0, i)]);
  const orders = [...rotations, ...rotations.map((fields) => fields.toReversed())];
  const blocks = orders.map((fields) => encodeBlock(encoder, fields));
  measureDecode("7 indexed fields, never from the cache", blocks, [first]);
}

{
  const encoder = new HpackEncoder();
  const out = new ByteWriter();
  const lists = [answerFields, trailerFields];
  measure("encode: headers and trailers of an answer, same arrays", (i) => {
    out.clear();
    encoder.encode(lists[i & 1]!, out);
    return out.length;
  });
}
{
  const encoder = new HpackEncoder();
  const out = new ByteWriter();
  measure("encode: 7 known fields in a new array", () => {
    out.clear();
    encoder.encode(callFields.slice(), out);
    return out.length;
  });
}
{
  const encoder = new HpackEncoder();
  const out = new ByteWriter();
  measure("encode: 7 known fields and a new grpc-timeout", (i) => {
    out.clear();
    encoder.encode([...callFields, headerField("grpc-timeout", timeouts[i & 255]!)], out);
    return out.length;
  });
}
for (const [what, token] of [
  ["a 22-octet token", "ABCDEFGHIJKLMNOP.12345"],
  ["a 500-octet token", jwt],
] as const) {
  const encoder = new HpackEncoder();
  const out = new ByteWriter();
  const field = headerField("token", token);
  measure(`encode: ${what}, never indexed`, () => {
    out.clear();
    encoder.encode([field], out);
    return out.length;
  });
}

for (const text of ["4999995u", "/etcdserverpb.KV/Range", jwt]) {
  const coded = new Uint8Array(1024);
  const codedBytes = encodeHuffman(text, coded, 0, coded.length);
  const raw = new TextEncoder().encode(text);
  measure(`Huffman decode ${text.length} octets`, () => decodeHuffman(coded, 0, codedBytes).length);
  measure(`Huffman encode ${text.length} octets`, () => encodeHuffman(text, coded, 0, coded.length));
  measure(`Latin-1 text of ${text.length} octets`, () => latin1Text(raw, 0, raw.length).length);
}

/** A call as Go's encoder writes it when the table was filled by `callFields` and then by deadlines. */
function writeGoCall(out: ByteWriter, deadlines: number, timeout: string): void {
  const { bytes } = out;
  let at = 0;
  bytes[at++] = 0x83;
  bytes[at++] = 0x86;
  // 5S was the newest then, te behind it, and so on down to :path.
  for (let position = 5; position >= 1; position--) bytes[at++] = 0x80 | (62 + deadlines + position);
  bytes[at++] = 0x40 | 62;
  const end = encodeHuffman(timeout, bytes, at + 1, bytes.length);
  bytes[at] = 0x80 | (end - at - 1);
  out.length = end;
}

if (sink === 0) throw new Error("nothing was measured");
