/**
 * Protobuf messages as no library writes them, and a judge of which ones etcd reads.
 *
 * The writer makes messages of a descriptor with their fields in any order, repeated where they should stand once, in
 * numbers that are longer than they need be, packed and unpacked, between unknown fields and groups. The judge is
 * strict as Go's generated readers are, where Protobuf-ES is lenient: a known field of another wire type, or one that
 * reaches beyond the message it is in, makes the message no message.
 */
import { isUtf8 } from "node:buffer";
import { type DescField, type DescMessage, type DescOneof, ScalarType } from "@bufbuild/protobuf";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { concat } from "../http2/frames.ts";
import { garbage } from "./mutation.ts";

const VARINT = 0;
const BIT64 = 1;
const LENGTH_DELIMITED = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const BIT32 = 5;

const DEPTH_MAX = 5;
const VARINT_BYTES_MAX = 10;
/** What a tag of 32 bits takes. */
const TAG_BYTES_MAX = 5;
const INTEGERS = [0n, 1n, 2n, 3n, 7n, 127n, 128n, 300n, 2n ** 31n, 2n ** 32n, 2n ** 32n + 1n, 2n ** 53n + 1n];
const NEGATIVES = [-1n, -2n, -(2n ** 31n), -(2n ** 63n), 2n ** 63n - 1n];
const KEYS = ["", "\0", "a", "a\0", "b", "foo", "fuzz", "\u00ff\u00ff", "key of some length"];

export interface NoiseOptions {
  /** Enums have only values that their definitions name. */
  readonly knownEnums?: boolean;
  /** Names of fields that no message has. */
  readonly leftOut?: readonly string[];
}

/** A message of `desc` as chance writes it. */
export function noisyMessage(
  desc: DescMessage,
  random: SeededRandom,
  options: NoiseOptions = {},
): Uint8Array {
  return messageAt(0, desc, random, options);
}

/** Deeper messages have fewer fields, and none at last. */
function messageAt(
  depth: number,
  desc: DescMessage,
  random: SeededRandom,
  options: NoiseOptions,
): Uint8Array {
  const parts: Uint8Array[] = [];
  const { leftOut = [] } = options;
  const fields =
    leftOut.length === 0 ? desc.fields : desc.fields.filter(({ name }) => !leftOut.includes(name));
  for (let left = random.below(depth === 0 ? 8 : 5); left > 0; left--) {
    const field = fields.length === 0 || random.chance(0.1) ? null : random.pick(fields);
    if (field === null) parts.push(unknownField(random, 0));
    else if (depth < DEPTH_MAX || field.message === undefined)
      parts.push(noisyField(field, random, options, depth));
  }
  return concat(parts);
}

function noisyField(
  field: DescField,
  random: SeededRandom,
  options: NoiseOptions,
  depth: number,
): Uint8Array {
  const { number } = field;
  if (field.message !== undefined)
    return delimited(number, messageAt(depth + 1, field.message, random, options), random);
  if (field.scalar === ScalarType.BYTES) return delimited(number, noisyBytes(random), random);
  if (field.scalar === ScalarType.STRING) return delimited(number, Buffer.from(random.pick(KEYS)), random);
  const values = options.knownEnums === true && field.enum !== undefined ? field.enum.values : null;
  const one = (): Uint8Array =>
    varint(values === null ? integer(random) : BigInt(random.pick(values).number), random);
  if (field.fieldKind === "list" && random.chance(0.5)) {
    return delimited(number, concat(Array.from({ length: random.below(4) }, one)), random);
  }
  return concat([tag(number, VARINT, random), one()]);
}

function noisyBytes(random: SeededRandom): Uint8Array {
  return random.chance(0.8) ? Buffer.from(random.pick(KEYS), "latin1") : garbage(random, 200);
}

function integer(random: SeededRandom): bigint {
  if (random.chance(0.6)) return BigInt(random.below(3));
  return random.pick(random.chance(0.5) ? INTEGERS : NEGATIVES);
}

function unknownField(random: SeededRandom, depth: number): Uint8Array {
  const number = random.pick([100, 1_000, 2 ** 29 - 1]);
  const kind = random.pick([VARINT, BIT64, LENGTH_DELIMITED, BIT32, depth < 4 ? START_GROUP : VARINT]);
  switch (kind) {
    case LENGTH_DELIMITED:
      return delimited(number, garbage(random, 20), random);
    case START_GROUP: {
      const inner = Array.from({ length: random.below(3) }, () => unknownField(random, depth + 1));
      return concat([tag(number, START_GROUP, random), ...inner, tag(number, END_GROUP, random)]);
    }
    case VARINT:
      return concat([tag(number, VARINT, random), varint(integer(random), random)]);
    default:
      return concat([
        tag(number, kind, random),
        new Uint8Array(kind === BIT32 ? 4 : 8).fill(random.below(256)),
      ]);
  }
}

function delimited(number: number, payload: Uint8Array, random: SeededRandom): Uint8Array {
  return concat([tag(number, LENGTH_DELIMITED, random), varint(BigInt(payload.length), random), payload]);
}

function tag(number: number, wireType: number, random: SeededRandom): Uint8Array {
  return varint(BigInt(number * 8 + wireType), random, TAG_BYTES_MAX);
}

/** A varint, now and then with more bytes than it needs. */
function varint(value: bigint, random: SeededRandom, bytesMax = VARINT_BYTES_MAX): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 0x80);
  bytes.push(Number(rest));
  if (bytes.length < bytesMax && random.chance(0.1)) {
    bytes[bytes.length - 1]! |= 0x80;
    while (bytes.length < bytesMax - 1 && random.chance(0.7)) bytes.push(0x80);
    bytes.push(0);
  }
  return Uint8Array.from(bytes);
}

/** What the judge has seen. */
export interface Judgement {
  /** It is a message of that kind to a strict reader. */
  readonly valid: boolean;
  /**
   * Readers disagree about it: a field of a oneof comes twice in a row, which some join; a known field is of another wire
   * type, which some pass over; a tag has more bytes or bits than it needs, a number more than 64 bits; a group ends under another number, or
   * has tags of no number; a text is no UTF-8.
   */
  readonly disputed: boolean;
}

/** Judges whether `bytes` are a message of `desc`. */
export function judge(desc: DescMessage, bytes: Uint8Array): Judgement {
  const reader = new StrictReader(bytes);
  const valid = reader.message(desc, bytes.length, 0);
  return { valid, disputed: reader.disputed };
}

class StrictReader {
  disputed = false;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Reads a message that ends at `end`; false when it is none. */
  message(desc: DescMessage, end: number, depth: number): boolean {
    const chosen = new Map<DescOneof, DescField>();
    if (depth > DEPTH_JUDGED_MAX) return false;
    while (this.#at < end) {
      const start = this.#at;
      const read = this.#varint(end);
      if (this.#at - start > TAG_BYTES_MAX) this.disputed = true;
      if (read === null || read < 8n || read > 0xffff_ffffn) {
        if (read !== null && read > 0xffff_ffffn) this.disputed = true;
        return false;
      }
      const wireType = Number(read & 7n);
      const field = desc.fields.find(({ number }) => number === Number(read >> 3n));
      if (field?.oneof !== undefined) {
        if (chosen.get(field.oneof) === field) this.disputed = true;
        chosen.set(field.oneof, field);
      }
      if (
        !(field === undefined ? this.#skip(Number(read), end, 0) : this.#field(field, wireType, end, depth))
      ) {
        return false;
      }
    }
    return this.#at === end;
  }

  #field(field: DescField, wireType: number, end: number, depth: number): boolean {
    const isDelimited =
      field.message !== undefined || field.scalar === ScalarType.BYTES || field.scalar === ScalarType.STRING;
    const packed = field.fieldKind === "list" && !isDelimited && wireType === LENGTH_DELIMITED;
    if (!packed && wireType !== (isDelimited ? LENGTH_DELIMITED : VARINT)) {
      this.disputed = true;
      return false;
    }
    if (wireType === VARINT) return this.#varint(end) !== null;
    const length = this.#varint(end);
    if (length === null || length > BigInt(end - this.#at)) return false;
    const fieldEnd = this.#at + Number(length);
    if (field.message !== undefined) return this.message(field.message, fieldEnd, depth + 1);
    // Text that is no UTF-8 is refused by some.
    if (field.scalar === ScalarType.STRING && !isUtf8(this.#bytes.subarray(this.#at, fieldEnd)))
      this.disputed = true;
    if (packed) {
      while (this.#at < fieldEnd) if (this.#varint(fieldEnd) === null) return false;
    }
    this.#at = fieldEnd;
    return true;
  }

  #skip(fieldTag: number, end: number, depth: number): boolean {
    switch (fieldTag & 7) {
      case VARINT:
        return this.#varint(end) !== null;
      case BIT64:
      case BIT32:
        this.#at += (fieldTag & 7) === BIT64 ? 8 : 4;
        return this.#at <= end;
      case LENGTH_DELIMITED: {
        const length = this.#varint(end);
        if (length === null || length > BigInt(end - this.#at)) return false;
        this.#at += Number(length);
        return true;
      }
      case START_GROUP:
        for (;;) {
          const start = this.#at;
          const inner = this.#varint(end);
          if (this.#at - start > TAG_BYTES_MAX) this.disputed = true;
          if (depth > DEPTH_JUDGED_MAX || inner === null) return false;
          if (inner < 8n || inner > 0xffff_ffffn) {
            this.disputed = true;
            return false;
          }
          if ((inner & 7n) === BigInt(END_GROUP)) {
            const own = Number(inner >> 3n) === fieldTag >>> 3;
            this.disputed ||= !own;
            return own;
          }
          if (!this.#skip(Number(inner), end, depth + 1)) return false;
        }
      default:
        return false;
    }
  }

  /** The next number, of 64 bits; null when there is none. */
  #varint(end: number): bigint | null {
    let value = 0n;
    for (let byte = 0; byte < VARINT_BYTES_MAX; byte++) {
      if (this.#at >= end) return null;
      const next = this.#bytes[this.#at++]!;
      value |= BigInt(next & 0x7f) << BigInt(7 * byte);
      if (byte === VARINT_BYTES_MAX - 1 && next > 1) this.disputed = true;
      if (next < 0x80) return BigInt.asUintN(64, value);
    }
    return null;
  }
}

/** Deeper messages are not looked into: no reader here is asked about them. */
const DEPTH_JUDGED_MAX = 30;
