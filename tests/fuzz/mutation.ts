/**
 * What a fuzzer does to bytes: damage as lines, disks and hostile peers make it, and cuts as sockets make them.
 *
 * Nothing here knows a format, but that lengths are often one byte in front of what they count, and that numbers are
 * often varints. What comes in is never changed: results are new arrays.
 */
import type { SeededRandom } from "../faults/seeded-random.ts";
import { concat } from "../http2/frames.ts";

/** Bytes at which things change: bounds of prefixes, signs, masks. */
const EDGE_BYTES = [0x00, 0x01, 0x0f, 0x1f, 0x20, 0x3f, 0x40, 0x7e, 0x7f, 0x80, 0x81, 0xbe, 0xc0, 0xfe, 0xff];

type Mutation = (bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  replaceByte,
  nudgeByte,
  truncate,
  remove,
  duplicate,
  insertNoise,
  splice,
  growVarint,
  exchange,
];

/** `bytes`, changed in one to four ways; `others` are what pieces are borrowed from. */
export function mutated(
  bytes: Uint8Array,
  random: SeededRandom,
  others: readonly Uint8Array[] = [],
): Uint8Array {
  let result = bytes;
  for (let left = 1 + random.below(4); left > 0; left--) {
    result = random.pick(MUTATIONS)(result, random, others);
  }
  return result;
}

/** Up to `bytesMax` bytes without any sense. */
export function garbage(random: SeededRandom, bytesMax: number): Uint8Array {
  const edges = random.chance(0.5);
  return Uint8Array.from({ length: random.below(bytesMax + 1) }, () =>
    edges && random.chance(0.5) ? random.pick(EDGE_BYTES) : random.below(256),
  );
}

/** `bytes` as a socket may give them: in pieces, each an array of its own. */
export function pieces(bytes: Uint8Array, random: SeededRandom): Uint8Array[] {
  const cut: Uint8Array[] = [];
  // All of one size, such as 1, or of any.
  const sizeMax = random.pick([1, 2, 5, 20, 200, 5_000]);
  const constant = random.chance(0.3);
  for (let at = 0; at < bytes.length;) {
    const size = constant ? sizeMax : 1 + random.below(sizeMax);
    cut.push(bytes.slice(at, at + size));
    at += size;
  }
  return cut;
}

function flipBit(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  return withByte(bytes, random, (byte) => byte ^ (1 << random.below(8)));
}

function replaceByte(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  return withByte(bytes, random, () => (random.chance(0.5) ? random.pick(EDGE_BYTES) : random.below(256)));
}

/** What a length field that is a little wrong looks like. */
function nudgeByte(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  return withByte(bytes, random, (byte) => byte + random.pick([-2, -1, 1, 2]));
}

function withByte(bytes: Uint8Array, random: SeededRandom, change: (byte: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const result = bytes.slice();
  const at = random.below(result.length);
  result[at] = change(result[at]!);
  return result;
}

function truncate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  return bytes.slice(0, random.below(bytes.length + 1));
}

function remove(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const [start, end] = span(bytes, random);
  return concat([bytes.subarray(0, start), bytes.subarray(end)]);
}

function duplicate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const [start, end] = span(bytes, random);
  return concat([bytes.subarray(0, end), bytes.subarray(start)]);
}

function insertNoise(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const at = random.below(bytes.length + 1);
  return concat([bytes.subarray(0, at), garbage(random, 12), bytes.subarray(at)]);
}

/** The beginning of one and the end of another. */
function splice(bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]): Uint8Array {
  if (others.length === 0) return duplicate(bytes, random);
  const other = random.pick(others);
  return concat([
    bytes.subarray(0, random.below(bytes.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ]);
}

/** A byte that may be a number takes more bytes for the same number. */
function growVarint(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  if (bytes.length === 0) return bytes;
  const at = random.below(bytes.length);
  const grown = [bytes[at]! | 0x80];
  for (let left = random.below(11); left > 0; left--) grown.push(0x80);
  grown.push(random.pick([0, 0, 0, 1, 2, 0x7f]));
  return concat([bytes.subarray(0, at), Uint8Array.from(grown), bytes.subarray(at + 1)]);
}

/** Two neighbouring spans change places. */
function exchange(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const [start, end] = span(bytes, random);
  const middle = start + random.below(end - start + 1);
  return concat([
    bytes.subarray(0, start),
    bytes.subarray(middle, end),
    bytes.subarray(start, middle),
    bytes.subarray(end),
  ]);
}

function span(bytes: Uint8Array, random: SeededRandom): [start: number, end: number] {
  const one = random.below(bytes.length + 1);
  const other = random.chance(0.7)
    ? Math.min(bytes.length, one + 1 + random.below(8))
    : random.below(bytes.length + 1);
  return [Math.min(one, other), Math.max(one, other)];
}
