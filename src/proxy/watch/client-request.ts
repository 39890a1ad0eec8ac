/**
 * What a client may ask on a Watch stream, read out of a WatchRequest (etcd API, Watch).
 *
 * Read where it lies: clients that come back all at once open thousands of watches, and each message object would
 * cost more than the watch. Unknown fields and filters are passed over, as etcd does; so is a known field of another wire
 * type, as etcd 3.7 does, where older ones refuse the request.
 */
import { KeyRange } from "../../etcd/key-range.ts";
import { ProtobufCursor } from "../../etcd/protobuf-cursor.ts";
import { type WatchId, watchOptions, type WatchOptions } from "./subscriber.ts";

export interface CreateRequest {
  readonly kind: "create";
  /** Null when no key can lie in it. */
  readonly range: KeyRange | null;
  /** What the caller has to have permission for: the range, or the first key of one that is empty. */
  readonly checkedRange: KeyRange;
  /** 0: now. */
  readonly startRevision: number;
  /** 0: the stream chooses. */
  readonly watchId: WatchId;
  readonly options: WatchOptions;
}

export interface CancelRequest {
  readonly kind: "cancel";
  readonly watchId: WatchId;
}

export type ClientRequest =
  | CreateRequest
  | CancelRequest
  | { readonly kind: "progress" }
  /** Of a newer client, or empty: etcd passes over it. */
  | { readonly kind: "nothing" };

const NO_BYTES = new Uint8Array(0);
const PROGRESS: ClientRequest = { kind: "progress" };
const NOTHING: ClientRequest = { kind: "nothing" };

// Tags: the field's number times eight, and 0 for a varint, 2 for what has a length.
const CREATE_REQUEST = 0x0a;
const CANCEL_REQUEST = 0x12;
const PROGRESS_REQUEST = 0x1a;
const CREATE_KEY = 0x0a;
const CREATE_RANGE_END = 0x12;
const CREATE_START_REVISION = 0x18;
const CREATE_PROGRESS_NOTIFY = 0x20;
const CREATE_FILTER = 0x28;
const CREATE_FILTERS_PACKED = 0x2a;
const CREATE_PREV_KV = 0x30;
const CREATE_WATCH_ID = 0x38;
const CREATE_FRAGMENT = 0x40;
const CANCEL_WATCH_ID = 0x08;
const FILTER_NOPUT = 0;
const FILTER_NODELETE = 1;

const cursor = new ProtobufCursor();

/** Reads the WatchRequest `bytes[start, end)`. @throws MalformedMessage when it is not one. */
export function readClientRequest(bytes: Uint8Array, start: number, end: number): ClientRequest {
  let request = NOTHING;
  cursor.at = start;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag === CREATE_REQUEST) request = readCreate(bytes, cursor.payloadEnd(bytes, end));
    else if (tag === CANCEL_REQUEST) request = readCancel(bytes, cursor.payloadEnd(bytes, end));
    else if (tag === PROGRESS_REQUEST) request = readProgress(bytes, cursor.payloadEnd(bytes, end));
    else cursor.skip(bytes, tag, end);
  }
  return request;
}

function readCreate(bytes: Uint8Array, end: number): CreateRequest {
  let key: Uint8Array = NO_BYTES;
  let rangeEnd: Uint8Array = NO_BYTES;
  let startRevision = 0;
  let watchId: WatchId = 0;
  let prevKv = false;
  let fragment = false;
  let progressNotify = false;
  let noPut = false;
  let noDelete = false;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    switch (tag) {
      case CREATE_KEY:
        key = readBytes(bytes, end);
        break;
      case CREATE_RANGE_END:
        rangeEnd = readBytes(bytes, end);
        break;
      case CREATE_START_REVISION:
        startRevision = cursor.int64(bytes, end);
        break;
      case CREATE_PROGRESS_NOTIFY:
        progressNotify = cursor.int64(bytes, end) !== 0;
        break;
      case CREATE_PREV_KV:
        prevKv = cursor.int64(bytes, end) !== 0;
        break;
      case CREATE_WATCH_ID:
        watchId = readWatchId(bytes, end);
        break;
      case CREATE_FRAGMENT:
        fragment = cursor.int64(bytes, end) !== 0;
        break;
      case CREATE_FILTER:
      case CREATE_FILTERS_PACKED: {
        const filtersEnd = tag === CREATE_FILTER ? cursor.at + 1 : cursor.payloadEnd(bytes, end);
        while (cursor.at < filtersEnd) {
          const filter = cursor.int32(bytes, end);
          if (filter === FILTER_NOPUT) noPut = true;
          else if (filter === FILTER_NODELETE) noDelete = true;
        }
        break;
      }
      default:
        cursor.skip(bytes, tag, end);
    }
  }
  const range = KeyRange.of(key, rangeEnd);
  return {
    kind: "create",
    range,
    checkedRange: range ?? KeyRange.of(key, NO_BYTES)!,
    startRevision,
    watchId,
    options: watchOptions(prevKv, noPut, noDelete, fragment, progressNotify),
  };
}

function readCancel(bytes: Uint8Array, end: number): CancelRequest {
  let watchId: WatchId = 0;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag === CANCEL_WATCH_ID) watchId = readWatchId(bytes, end);
    else cursor.skip(bytes, tag, end);
  }
  return { kind: "cancel", watchId };
}

/** It has no fields yet: those of a newer client are passed over. */
function readProgress(bytes: Uint8Array, end: number): ClientRequest {
  while (cursor.at < end) cursor.skip(bytes, cursor.tag(bytes, end), end);
  return PROGRESS;
}

function readBytes(bytes: Uint8Array, end: number): Uint8Array {
  const payloadEnd = cursor.payloadEnd(bytes, end);
  const payload = bytes.subarray(cursor.at, payloadEnd);
  cursor.at = payloadEnd;
  return payload;
}

/** An int64 that is exact, however large. */
function readWatchId(bytes: Uint8Array, end: number): WatchId {
  const start = cursor.at;
  const id = cursor.int64(bytes, end);
  if (Number.isSafeInteger(id)) return id;
  let exact = 0n;
  for (let at = start; at < cursor.at; at++) exact |= BigInt(bytes[at]! & 0x7f) << BigInt(7 * (at - start));
  return BigInt.asIntN(64, exact);
}
