/**
 * A message of etcd's as a log shows it: JSON in protobuf's mapping, without secrets, and never longer than a bound.
 *
 * Reads the encoded message where it lies, by the generated descriptors, so that the beginning of one is enough: what a field
 * announces is known before it has come. Bytes come from a peer: what is broken ends the message there, and is told.
 * Differs from protobuf's mapping in bytes: text where they are printable, `base64:` and base64 where they are not.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";
import { type Showing, showingOf } from "./shown-fields.ts";

/** What of a message is shown. */
export interface ShownMessage {
  readonly content: ShownObject;
  /** It is not all of it: it was too long. */
  readonly cut: boolean;
  readonly malformed: boolean;
}

export type ShownValue = string | number | boolean | ShownObject | ShownValue[];
export interface ShownObject {
  [name: string]: ShownValue;
}

/** JSON of a message, in bytes, about; together with what else is on a line it stays below 4 KiB. */
const JSON_BYTES_MAX = 2500;
/** Items of a list that are shown; the others are counted. */
const LIST_ITEMS_MAX = 20;
/** Bytes of a key, of a value, of a text. */
const TEXT_BYTES_MAX = 512;
const DEPTH_MAX = 12;

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/**
 * Shows the message of `type` that begins with `bytes` and is `length` bytes long.
 *
 * @param values the values of keys are shown, too
 */
export function shownMessage(
  type: DescMessage,
  bytes: Uint8Array,
  length: number,
  values: boolean,
): ShownMessage {
  const showing = new MessageShowing(bytes, values);
  const content: ShownObject = {};
  try {
    showing.message(type, content, length, 0);
  } catch (error) {
    if (error instanceof Cut) return { content, cut: true, malformed: false };
    if (!(error instanceof MalformedMessage)) throw error;
    // What we have not kept cannot be told from what was never there.
    const cut = length > bytes.length && showing.at > bytes.length - NUMBER_BYTES_MAX;
    return { content, cut, malformed: !cut };
  }
  return { content, cut: showing.cut, malformed: false };
}

/** The rest is not shown. */
class Cut extends Error {}

/** Of a tag, and of a length or a number behind it. */
const NUMBER_BYTES_MAX = 20;

class MessageShowing {
  cut = false;
  readonly #bytes: Uint8Array;
  readonly #values: boolean;
  readonly #cursor = new ProtobufCursor();
  #bytesLeft = JSON_BYTES_MAX;

  constructor(bytes: Uint8Array, values: boolean) {
    this.#bytes = bytes;
    this.#values = values;
  }

  get at(): number {
    return this.#cursor.at;
  }

  /** Adds the fields of the message that ends at `end`, which may lie behind what there is of it. */
  message(type: DescMessage, into: ShownObject, end: number, depth: number): void {
    const fields = fieldsOf(type);
    const cursor = this.#cursor;
    const unshown = new Map<string, number>();
    while (cursor.at < end) {
      if (cursor.at >= this.#bytes.length) throw new Cut();
      const there = Math.min(end, this.#bytes.length);
      const tag = cursor.tag(this.#bytes, there);
      const field = fields.get(tag >>> 3);
      if (field === undefined || !fits(field, tag & 7)) this.#skip(tag, end);
      else if (!isFull(into, field)) this.#field(field, tag & 7, into, end, depth);
      else {
        this.#skip(tag, end);
        unshown.set(field.jsonName, (unshown.get(field.jsonName) ?? 0) + 1);
      }
    }
    for (const [name, count] of unshown) (into[name] as ShownValue[]).push(`… ${count} more`);
  }

  #field(field: DescField, wireType: number, into: ShownObject, end: number, depth: number): void {
    if (wireType !== LENGTH_DELIMITED) {
      this.#add(field, into, this.#number(field, Math.min(end, this.#bytes.length)));
      return;
    }
    const fieldEnd = this.#payloadEnd(end);
    if (field.message !== undefined) {
      if (depth === DEPTH_MAX) throw new Cut();
      const inner: ShownObject = {};
      this.#add(field, into, inner);
      this.message(field.message, inner, fieldEnd, depth + 1);
    } else if (isText(field)) {
      this.#add(field, into, this.#text(field, fieldEnd));
    } else {
      while (this.#cursor.at < fieldEnd) {
        if (this.#cursor.at >= this.#bytes.length) throw new Cut();
        this.#add(field, into, this.#number(field, Math.min(fieldEnd, this.#bytes.length)));
      }
    }
  }

  /** Counts what it adds: the item that would be too much ends it all. */
  #add(field: DescField, into: ShownObject, value: ShownValue): void {
    const name = field.jsonName;
    this.#bytesLeft -= typeof value === "object" ? 4 : Buffer.byteLength(JSON.stringify(value));
    if (field.fieldKind !== "list") {
      this.#bytesLeft -= name.length + 4;
      if (this.#bytesLeft < 0) throw new Cut();
      into[name] = value;
      return;
    }
    this.#bytesLeft -= 1 + (into[name] === undefined ? name.length + 6 : 0);
    if (this.#bytesLeft < 0) throw new Cut();
    ((into[name] ??= []) as ShownValue[]).push(value);
  }

  #skip(tag: number, end: number): void {
    if ((tag & 7) === LENGTH_DELIMITED) this.#cursor.at = this.#payloadEnd(end);
    else this.#cursor.skip(this.#bytes, tag, Math.min(end, this.#bytes.length));
  }

  /** Reads a length; what it announces may not have been kept, but must lie in its message. */
  #payloadEnd(end: number): number {
    const length = this.#cursor.int64(this.#bytes, Math.min(end, this.#bytes.length));
    if (length < 0 || length > end - this.#cursor.at) {
      throw new MalformedMessage(`a field of ${length} bytes has ${end - this.#cursor.at} left`);
    }
    return this.#cursor.at + length;
  }

  #number(field: DescField, end: number): ShownValue {
    const cursor = this.#cursor;
    if (field.enum !== undefined) {
      const number = cursor.int32(this.#bytes, end);
      return field.enum.value[number]?.name ?? number;
    }
    const start = cursor.at;
    const number = cursor.int64(this.#bytes, end);
    switch (field.scalar) {
      case ScalarType.BOOL:
        return number !== 0;
      case ScalarType.INT32:
        return number | 0;
      case ScalarType.UINT32:
        return number >>> 0;
      default: {
        const unsigned = field.scalar === ScalarType.UINT64;
        if (Number.isSafeInteger(number) && (number >= 0 || !unsigned)) return String(number);
        return exact(this.#bytes, start, cursor.at, unsigned);
      }
    }
  }

  /** A string or bytes up to `end`, as far as they are shown. */
  #text(field: DescField, end: number): string {
    const start = this.#cursor.at;
    this.#cursor.at = end;
    const bytes = field.scalar === ScalarType.BYTES;
    const showing = showingOf(field, bytes);
    if (!this.#isShown(showing)) return showing === "secret" ? "<hidden>" : `<${end - start} bytes>`;
    const whole = end - start <= TEXT_BYTES_MAX && end <= this.#bytes.length;
    const shown = this.#bytes.subarray(start, Math.min(end, start + TEXT_BYTES_MAX));
    if (!whole) this.cut = true;
    return whole ? textOf(shown) : `${textOf(shown)}… (${end - start} bytes)`;
  }

  #isShown(showing: Showing): boolean {
    return showing === "plain" || (showing === "value" && this.#values);
  }
}

const fieldsByType = new Map<DescMessage, ReadonlyMap<number, DescField>>();

function fieldsOf(type: DescMessage): ReadonlyMap<number, DescField> {
  let fields = fieldsByType.get(type);
  if (fields === undefined) {
    fields = new Map(type.fields.map((field) => [field.number, field]));
    fieldsByType.set(type, fields);
  }
  return fields;
}

function isText(field: DescField): boolean {
  return field.scalar === ScalarType.BYTES || field.scalar === ScalarType.STRING;
}

/** Numbers of a list may come packed. All numbers of etcd's API are varints. */
function fits(field: DescField, wireType: number): boolean {
  if (field.fieldKind === "map") return false;
  if (field.message !== undefined || isText(field)) return wireType === LENGTH_DELIMITED;
  return wireType === VARINT || (wireType === LENGTH_DELIMITED && field.fieldKind === "list");
}

function isFull(into: ShownObject, field: DescField): boolean {
  return (
    field.fieldKind === "list" &&
    ((into[field.jsonName] as ShownValue[] | undefined)?.length ?? 0) >= LIST_ITEMS_MAX
  );
}

/** The varint `bytes[start, end)`, which is beyond what a number holds. */
function exact(bytes: Uint8Array, start: number, end: number, unsigned: boolean): string {
  let value = 0n;
  for (let at = end - 1; at >= start; at--) value = (value << 7n) | BigInt(bytes[at]! & 0x7f);
  return String(unsigned ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value));
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** As text where that can be read and says all there is to it. */
function textOf(bytes: Uint8Array): string {
  try {
    // Cut in the middle of a character it is no text either: at most three bytes less are.
    const text = utf8.decode(bytes);
    if (!/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(text)) return text;
  } catch {
    // No text.
  }
  return `base64:${Buffer.from(bytes).toString("base64")}`;
}
