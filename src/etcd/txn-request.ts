/**
 * Reads a TxnRequest where it lies (etcd API, KV): whether it only reads, and which keys it may change.
 *
 * What a newer etcd may have added is not guessed at: an operation of an unknown kind is neither a read nor a
 * known change. Nesting is followed to a bound, beyond which a request counts as malformed, as it does at etcd.
 */
import { KeyRange } from "./key-range.ts";
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";

const TXN_COMPARE = 0x0a;
const TXN_SUCCESS = 0x12;
const TXN_FAILURE = 0x1a;
const OP_RANGE = 0x0a;
const OP_PUT = 0x12;
const OP_DELETE_RANGE = 0x1a;
const OP_TXN = 0x22;
const KEY = 0x0a;
const RANGE_END = 0x12;

/** How deep transactions may lie in each other: far more than etcd serves in any reasonable use. */
const DEPTH_MAX = 64;

const cursor = new ProtobufCursor();

/**
 * True when the TxnRequest `bytes[start, end)` has ranges only, at least one, and no compare, nested ones included:
 * its answer depends on nothing but keys. @throws MalformedMessage
 */
export function readsOnly(bytes: Uint8Array, start: number, end: number): boolean {
  cursor.at = start;
  return readsOnlyWithin(bytes, end, 1);
}

function readsOnlyWithin(bytes: Uint8Array, end: number, depth: number): boolean {
  let ranges = 0;
  checkDepth(depth);
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag !== TXN_SUCCESS && tag !== TXN_FAILURE) return false;
    const opEnd = cursor.payloadEnd(bytes, end);
    if (cursor.at === opEnd) return false;
    while (cursor.at < opEnd) {
      const kind = cursor.tag(bytes, opEnd);
      if (kind !== OP_RANGE && kind !== OP_TXN) return false;
      const messageEnd = cursor.payloadEnd(bytes, opEnd);
      if (kind === OP_RANGE) cursor.at = messageEnd;
      else if (!readsOnlyWithin(bytes, messageEnd, depth + 1)) return false;
      ranges++;
    }
  }
  return ranges > 0;
}

/**
 * The keys that the TxnRequest `bytes[start, end)` may change, in whichever branch; null when an operation is of an
 * unknown kind, or of several. @throws MalformedMessage
 */
export function keysChangedByTxn(bytes: Uint8Array, start: number, end: number): KeyRange[] | null {
  const ranges: KeyRange[] = [];
  cursor.at = start;
  return addChanges(ranges, bytes, end, 1) ? ranges : null;
}

function addChanges(ranges: KeyRange[], bytes: Uint8Array, end: number, depth: number): boolean {
  checkDepth(depth);
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag === TXN_COMPARE) {
      cursor.at = cursor.payloadEnd(bytes, end);
    } else if (tag === TXN_SUCCESS || tag === TXN_FAILURE) {
      if (!addChangesOfOp(ranges, bytes, cursor.payloadEnd(bytes, end), depth)) return false;
    } else {
      return false;
    }
  }
  return true;
}

function addChangesOfOp(ranges: KeyRange[], bytes: Uint8Array, end: number, depth: number): boolean {
  if (cursor.at === end) return true;
  const kind = cursor.tag(bytes, end);
  if (kind !== OP_RANGE && kind !== OP_PUT && kind !== OP_DELETE_RANGE && kind !== OP_TXN) return false;
  const messageEnd = cursor.payloadEnd(bytes, end);
  if (kind === OP_RANGE) {
    cursor.at = messageEnd;
  } else if (kind === OP_TXN) {
    if (!addChanges(ranges, bytes, messageEnd, depth + 1)) return false;
  } else {
    const range = rangeWithin(bytes, messageEnd, kind === OP_DELETE_RANGE);
    if (range !== null) ranges.push(range);
  }
  // An operation is of one kind. One of several, which no client makes, some decoders take for the last, some join.
  return cursor.at === end;
}

/** The key that the PutRequest `bytes[start, end)` changes. @throws MalformedMessage */
export function keyChangedByPut(bytes: Uint8Array, start: number, end: number): KeyRange | null {
  cursor.at = start;
  return rangeWithin(bytes, end, false);
}

/** The keys that the DeleteRangeRequest `bytes[start, end)` may change; null for none. @throws MalformedMessage */
export function keysChangedByDeleteRange(bytes: Uint8Array, start: number, end: number): KeyRange | null {
  cursor.at = start;
  return rangeWithin(bytes, end, true);
}

/** Reads a message with `key` and, if it `hasRangeEnd`, `range_end`, from where the cursor stands to `end`. */
function rangeWithin(bytes: Uint8Array, end: number, hasRangeEnd: boolean): KeyRange | null {
  let keyStart = end;
  let keyEnd = end;
  let rangeEndStart = end;
  let rangeEndEnd = end;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag === KEY) {
      keyEnd = cursor.payloadEnd(bytes, end);
      keyStart = cursor.at;
      cursor.at = keyEnd;
    } else if (tag === RANGE_END && hasRangeEnd) {
      rangeEndEnd = cursor.payloadEnd(bytes, end);
      rangeEndStart = cursor.at;
      cursor.at = rangeEndEnd;
    } else {
      cursor.skip(bytes, tag, end);
    }
  }
  return KeyRange.ofPieces(bytes, keyStart, keyEnd, rangeEndStart, rangeEndEnd);
}

function checkDepth(depth: number): void {
  if (depth > DEPTH_MAX) throw new MalformedMessage(`transactions lie more than ${DEPTH_MAX} deep`);
}
