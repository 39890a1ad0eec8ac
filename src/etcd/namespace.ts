/**
 * A namespace: a prefix that all keys of clients get on their way to a member, and lose on their way back.
 *
 * Rewrites messages where they lie, in one pass and one copy (etcd API, the fields of key-fields.ts): what it does not
 * know stays as it is. Keys inside the namespace and keys as clients know them are the same set, in the same order, so
 * that a range of one is a range of the other: the law that its tests hold it to. The empty key, which etcd has not, is
 * not in it either.
 */
import { MESSAGE_PREFIX_BYTES } from "../grpc/message-scanner.ts";
import { Code, type Status } from "../grpc/status.ts";
import type { KeyRole, MessageKeys } from "./key-fields.ts";
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";
import { varintBytes, writeVarint } from "./varint.ts";

/** A request that no member is shown: it would leave the namespace, or etcd would refuse it once its keys have none of their own. */
export class RequestOutsideNamespace extends Error {
  override readonly name = "RequestOutsideNamespace";
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.status = status;
  }
}

/** What etcd says of a request that names no key. */
const NO_KEY: Status = { code: Code.INVALID_ARGUMENT, message: "etcdserver: key is not provided" };

/** How deep messages may lie in each other: transactions within transactions, far more than etcd serves in any reasonable use. */
const DEPTH_MAX = 130;

/** Longer runs are copied by `set`, which costs the view that it needs. */
const COPIED_BY_HAND_MAX = 64;

const WIRE_TYPE_LENGTH = 2;
const NO_LENGTH = -1;
/** Numbers that an edit takes. */
const EDIT_SIZE = 5;

const ZERO_BYTE = Uint8Array.of(0);
const NO_BYTES = new Uint8Array(0);

export class Namespace {
  readonly prefix: Uint8Array;
  /** What an edit puts in: nothing, the prefix, its range's end, or the smallest key. By index. */
  readonly #insertions: readonly Uint8Array[];
  readonly #cursor = new ProtobufCursor();
  /**
   * What changes in a message, in order. An edit: copy up to here, then write a tag unless it is 0, a length unless it is
   * `NO_LENGTH`, an insertion; and go on from there.
   */
  #edits = new Int32Array(64 * EDIT_SIZE);
  #editsEnd = 0;

  /** `prefix` is not empty. */
  constructor(prefix: Uint8Array) {
    this.prefix = prefix;
    this.#insertions = [NO_BYTES, prefix, rangeEndOf(prefix), Uint8Array.of(...prefix, 0)];
  }

  /**
   * The request `bytes[start, end)` as members are asked it, as a gRPC message with its length before it.
   * @throws MalformedMessage, RequestOutsideNamespace
   */
  toMember(keys: MessageKeys, bytes: Uint8Array, start: number, end: number): Uint8Array {
    return this.#rewritten(keys, bytes, start, end, true);
  }

  /**
   * The answer `bytes[start, end)` of a member as clients see it, as a gRPC message with its length before it.
   * @throws MalformedMessage when it tells of keys outside of the namespace, too
   */
  toClient(keys: MessageKeys, bytes: Uint8Array, start: number, end: number): Uint8Array {
    return this.#rewritten(keys, bytes, start, end, false);
  }

  #rewritten(keys: MessageKeys, bytes: Uint8Array, start: number, end: number, adding: boolean): Uint8Array {
    this.#cursor.at = start;
    this.#editsEnd = 0;
    const grown = adding ? this.#toMember(keys, bytes, end, 1) : this.#toClient(keys, bytes, end, 1);
    return this.#applied(bytes, start, end, end - start + grown);
  }

  // Both read the message from where the cursor stands to `end`, note their edits, and return by how much it grows.

  #toMember(keys: MessageKeys, bytes: Uint8Array, end: number, depth: number): number {
    const cursor = this.#cursor;
    let grown = 0;
    let keyBytes = 0;
    let supplied = false;
    let ranged = false;
    while (cursor.at < end) {
      const fieldAt = cursor.at;
      const tag = cursor.tag(bytes, end);
      const number = tag >>> 3;
      const field = keys.fields[number];
      if (field === null || field === undefined) {
        if (field === undefined && keys.closed) throw outside(keys.name, number);
        cursor.skip(bytes, tag, end);
        continue;
      }
      checkWireType(tag);
      const lengthAt = cursor.at;
      const payloadEnd = cursor.payloadEnd(bytes, end);
      if (typeof field === "object") {
        grown += this.#nested(field, bytes, lengthAt, payloadEnd, depth, true);
        continue;
      }
      if (number === keys.required) keyBytes = payloadEnd - cursor.at;
      if (number === keys.supplied) supplied = true;
      if (field === "range end") {
        if (payloadEnd === cursor.at) {
          if (ranged) throw new MalformedMessage(`the range_end of a ${keys.name} is given and taken back`);
          // Absent it means one key. Members up to 3.6 take an empty one for "\0", whose range ends at no namespace.
          this.#edit(fieldAt, payloadEnd, 0, NO_LENGTH, NOTHING);
          grown -= payloadEnd - fieldAt;
          continue;
        }
        ranged = true;
      }
      grown += this.#prefixed(field, bytes, lengthAt, payloadEnd);
      cursor.at = payloadEnd;
    }
    if (keys.required !== 0 && keyBytes === 0) throw new RequestOutsideNamespace(NO_KEY);
    return keys.supplied === 0 || supplied ? grown : grown + this.#supplied(keys, end);
  }

  #toClient(keys: MessageKeys, bytes: Uint8Array, end: number, depth: number): number {
    const cursor = this.#cursor;
    let grown = 0;
    while (cursor.at < end) {
      const fieldAt = cursor.at;
      const tag = cursor.tag(bytes, end);
      const field = keys.fields[tag >>> 3];
      if (field === null || field === undefined) {
        cursor.skip(bytes, tag, end);
        continue;
      }
      checkWireType(tag);
      const lengthAt = cursor.at;
      const payloadEnd = cursor.payloadEnd(bytes, end);
      if (typeof field === "object") {
        grown += this.#nested(field, bytes, lengthAt, payloadEnd, depth, false);
        continue;
      }
      grown += this.#bared(field, bytes, fieldAt, lengthAt, payloadEnd);
      cursor.at = payloadEnd;
    }
    return grown;
  }

  /** The message `bytes[cursor.at, payloadEnd)` within another; its length stands at `lengthAt`. */
  #nested(
    keys: MessageKeys,
    bytes: Uint8Array,
    lengthAt: number,
    payloadEnd: number,
    depth: number,
    adding: boolean,
  ): number {
    if (depth > DEPTH_MAX) throw new MalformedMessage(`messages lie more than ${DEPTH_MAX} deep`);
    const payloadAt = this.#cursor.at;
    const edit = this.#editsEnd;
    this.#edit(lengthAt, payloadAt, 0, 0, NOTHING);
    const grown = adding
      ? this.#toMember(keys, bytes, payloadEnd, depth + 1)
      : this.#toClient(keys, bytes, payloadEnd, depth + 1);
    if (this.#editsEnd === edit + EDIT_SIZE) {
      this.#editsEnd = edit; // Nothing changes in it.
      return 0;
    }
    const length = payloadEnd - payloadAt + grown;
    this.#edits[edit + 3] = length;
    return grown + varintBytes(length) - (payloadAt - lengthAt);
  }

  /** A field of a request, whose bytes begin at the cursor. */
  #prefixed(role: KeyRole, bytes: Uint8Array, lengthAt: number, payloadEnd: number): number {
    const payloadAt = this.#cursor.at;
    const size = payloadEnd - payloadAt;
    if (role === "range end") {
      // "\0" is: everything from the key on.
      if (size === 1 && bytes[payloadAt] === 0)
        return this.#replaced(lengthAt, payloadAt, payloadEnd, RANGE_END);
    } else if (role === "watch key" && size === 0) {
      return this.#replaced(lengthAt, payloadAt, payloadEnd, SMALLEST_KEY);
    }
    return this.#replaced(lengthAt, payloadAt, payloadAt, PREFIX, size);
  }

  /** A field of an answer, whose bytes begin at the cursor; its tag stands at `fieldAt`. */
  #bared(role: KeyRole, bytes: Uint8Array, fieldAt: number, lengthAt: number, payloadEnd: number): number {
    const payloadAt = this.#cursor.at;
    const kept = payloadEnd - payloadAt - this.prefix.length;
    const inside = this.#startsWithin(bytes, payloadAt, payloadEnd);
    if (role === "listed key" && (!inside || kept === 0)) {
      this.#edit(fieldAt, payloadEnd, 0, NO_LENGTH, NOTHING);
      return fieldAt - payloadEnd;
    }
    if (!inside) throw new MalformedMessage("an answer tells of a key outside of the namespace");
    return this.#replaced(lengthAt, payloadAt, payloadEnd - kept, NOTHING, kept);
  }

  #startsWithin(bytes: Uint8Array, at: number, end: number): boolean {
    const { prefix } = this;
    if (end - at < prefix.length) return false;
    for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false;
    return true;
  }

  /** `bytes[payloadAt, resumeAt)` of a field gives way to an insertion; `rest` bytes of the field follow. */
  #replaced(lengthAt: number, payloadAt: number, resumeAt: number, insertion: number, rest = 0): number {
    const inserted = this.#insertions[insertion]!.length;
    const length = inserted + rest;
    this.#edit(lengthAt, resumeAt, 0, length, insertion);
    return varintBytes(length) - (payloadAt - lengthAt) + inserted - (resumeAt - payloadAt);
  }

  /** A field that is absent in the message that ends at `end`, though etcd gives it a meaning. */
  #supplied(keys: MessageKeys, end: number): number {
    const insertion = keys.fields[keys.supplied] === "watch key" ? SMALLEST_KEY : PREFIX;
    const { length } = this.#insertions[insertion]!;
    const tag = keys.supplied * 8 + WIRE_TYPE_LENGTH;
    this.#edit(end, end, tag, length, insertion);
    return varintBytes(tag) + varintBytes(length) + length;
  }

  #edit(copyEnd: number, resumeAt: number, tag: number, length: number, insertion: number): void {
    const at = this.#editsEnd;
    if (at + EDIT_SIZE > this.#edits.length) {
      const grown = new Int32Array(this.#edits.length * 2);
      grown.set(this.#edits);
      this.#edits = grown;
    }
    const edits = this.#edits;
    edits[at] = copyEnd;
    edits[at + 1] = resumeAt;
    edits[at + 2] = tag;
    edits[at + 3] = length;
    edits[at + 4] = insertion;
    this.#editsEnd = at + EDIT_SIZE;
  }

  /** `bytes[start, end)` with the edits made, `size` bytes long, as a gRPC message. */
  #applied(bytes: Uint8Array, start: number, end: number, size: number): Uint8Array {
    const target = new Uint8Array(MESSAGE_PREFIX_BYTES + size);
    const edits = this.#edits;
    target[1] = size >>> 24;
    target[2] = size >>> 16;
    target[3] = size >>> 8;
    target[4] = size;
    let from = start;
    let at = MESSAGE_PREFIX_BYTES;
    for (let edit = 0; edit < this.#editsEnd; edit += EDIT_SIZE) {
      at = copied(bytes, from, edits[edit]!, target, at);
      from = edits[edit + 1]!;
      if (edits[edit + 2] !== 0) at = writeVarint(target, at, edits[edit + 2]!);
      if (edits[edit + 3] === NO_LENGTH) continue;
      at = writeVarint(target, at, edits[edit + 3]!);
      const inserted = this.#insertions[edits[edit + 4]!]!;
      at = copied(inserted, 0, inserted.length, target, at);
    }
    copied(bytes, from, end, target, at);
    if (this.#edits.length > KEPT_EDITS_MAX) this.#edits = new Int32Array(64 * EDIT_SIZE);
    return target;
  }
}

// Indices of `#insertions`.
const NOTHING = 0;
const PREFIX = 1;
const RANGE_END = 2;
const SMALLEST_KEY = 3;

/** A message with more edits than that, about 10,000 keys, is rare: their room is not kept. */
const KEPT_EDITS_MAX = 20_000 * EDIT_SIZE;

/** The first key behind all that begin with `prefix`; "\0", which stands for none, when there is none. */
export function rangeEndOf(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return ZERO_BYTE;
  const end = prefix.slice(0, length);
  end[length - 1]!++;
  return end;
}

function copied(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  const size = end - start;
  if (size > COPIED_BY_HAND_MAX) target.set(source.subarray(start, end), at);
  else for (let i = 0; i < size; i++) target[at + i] = source[start + i]!;
  return at + size;
}

function checkWireType(tag: number): void {
  if ((tag & 7) !== WIRE_TYPE_LENGTH)
    throw new MalformedMessage(`field ${tag >>> 3} has the wire type ${tag & 7}`);
}

function outside(message: string, field: number): RequestOutsideNamespace {
  return new RequestOutsideNamespace({
    code: Code.UNIMPLEMENTED,
    message: `etcdproxy: field ${field} of ${message} is not known here, and may have keys outside of --namespace`,
  });
}
