/**
 * Writes WatchResponses for clients (etcd API, Watch), in two parts: the body, which is everything but the watch
 * id and can be shared by all who are told the same; and in front of it what is each client's own.
 *
 * Bodies are exactly as long as they need to be, and are never changed. Fields at their default are left out, as
 * proto3 does.
 */
import type { ByteWriter } from "../base/byte-writer.ts";
import { MESSAGE_PREFIX_BYTES } from "../grpc/message-scanner.ts";
import { varintBytes, writeVarint } from "./varint.ts";
import type { AnswerHeader, WatchEvent } from "./watch-response.ts";
import {
  HEADER_REVISION,
  RESPONSE_CANCELED,
  RESPONSE_CANCEL_REASON,
  RESPONSE_COMPACT_REVISION,
  RESPONSE_CREATED,
  RESPONSE_EVENTS,
  RESPONSE_FRAGMENT,
  RESPONSE_HEADER,
  RESPONSE_WATCH_ID,
} from "./watch-tags.ts";

const TAG_BYTES = 1;

const utf8 = new TextEncoder();
const NO_BYTES = new Uint8Array(0);

/** Length of what `writeWatchMessage` appends for a body of `bodyBytes`. */
export function watchMessageBytes(watchId: number | bigint, bodyBytes: number): number {
  return MESSAGE_PREFIX_BYTES + int64FieldBytes(watchId) + bodyBytes;
}

/** Appends a length-prefixed gRPC message: the WatchResponse of `body` for `watchId`, which may be any int64. */
export function writeWatchMessage(out: ByteWriter, watchId: number | bigint, body: Uint8Array): void {
  out.reserve(watchMessageBytes(watchId, body.length));
  writeWatchPrefix(out, watchId, body.length);
  out.write(body);
}

/** Appends what stands before a body of `bodyBytes`: the message's length prefix, and the watch id. */
export function writeWatchPrefix(out: ByteWriter, watchId: number | bigint, bodyBytes: number): void {
  const idBytes = int64FieldBytes(watchId);
  const length = idBytes + bodyBytes;
  out.reserve(MESSAGE_PREFIX_BYTES + idBytes);
  const bytes = out.bytes;
  let at = out.length;
  bytes[at++] = 0;
  bytes[at++] = length >>> 24;
  bytes[at++] = length >>> 16;
  bytes[at++] = length >>> 8;
  bytes[at++] = length;
  if (idBytes > 0) {
    bytes[at++] = RESPONSE_WATCH_ID;
    at = writeVarint(bytes, at, watchId);
  }
  out.length = at;
}

/** What an answer without events says. `revision` is told in place of the header's. */
export interface ControlAnswer {
  readonly header: AnswerHeader;
  readonly revision: number;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
  readonly fragment?: boolean;
}

/** The body of an answer without events. */
export function controlBody(answer: ControlAnswer): Uint8Array {
  const {
    header,
    revision,
    created = false,
    canceled = false,
    compactRevision = 0,
    fragment = false,
  } = answer;
  const { cancelReason = "" } = answer;
  const reason = cancelReason === "" ? NO_BYTES : utf8.encode(cancelReason);
  const body = new BodyWriter(
    headerFieldBytes(header, revision) +
      boolFieldBytes(created) +
      boolFieldBytes(canceled) +
      int64FieldBytes(compactRevision) +
      (reason.length === 0 ? 0 : payloadFieldBytes(reason.length)) +
      boolFieldBytes(fragment),
  );
  body.header(header, revision);
  body.bool(RESPONSE_CREATED, created);
  body.bool(RESPONSE_CANCELED, canceled);
  body.int64(RESPONSE_COMPACT_REVISION, compactRevision);
  if (reason.length > 0) {
    body.payloadStart(RESPONSE_CANCEL_REASON, reason.length);
    body.copy(reason, 0, reason.length);
  }
  body.bool(RESPONSE_FRAGMENT, fragment);
  return body.bytes;
}

/** An event and the bytes that it was read from. */
export interface EventPiece {
  readonly bytes: Uint8Array;
  readonly event: WatchEvent;
}

/** The body of an answer with `events`; without their `prev_kv` unless it is wanted. */
export function eventsBody(
  header: AnswerHeader,
  revision: number,
  events: Iterable<EventPiece>,
  withPrevKv: boolean,
  fragment: boolean,
): Uint8Array {
  // Gone through twice, which an array allows and other iterables may not.
  const pieces: readonly EventPiece[] = Array.isArray(events) ? events : [...events];
  let size = headerFieldBytes(header, revision) + boolFieldBytes(fragment);
  for (const { event } of pieces) size += eventFieldBytes(event, withPrevKv);
  const body = new BodyWriter(size);
  body.header(header, revision);
  body.bool(RESPONSE_FRAGMENT, fragment);
  for (const { bytes, event } of pieces) body.event(bytes, event, withPrevKv);
  return body.bytes;
}

/** Length of the field `events` that a body has for `event`. */
export function eventFieldBytes(event: WatchEvent, withPrevKv: boolean): number {
  return payloadFieldBytes(eventBytes(event, withPrevKv));
}

/** The field `header` of a WatchResponse, telling `revision`. */
export function headerField(header: AnswerHeader, revision: number): Uint8Array {
  const body = new BodyWriter(headerFieldBytes(header, revision));
  body.header(header, revision);
  return body.bytes;
}

/** Fills a body of a known size, field by field. */
class BodyWriter {
  readonly bytes: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  header(header: AnswerHeader, revision: number): void {
    this.payloadStart(RESPONSE_HEADER, headerBytes(header, revision));
    this.copy(header.identity, 0, header.identity.length);
    this.int64(HEADER_REVISION, revision);
  }

  event(bytes: Uint8Array, event: WatchEvent, withPrevKv: boolean): void {
    this.payloadStart(RESPONSE_EVENTS, eventBytes(event, withPrevKv));
    if (withPrevKv) this.copy(bytes, event.start, event.end);
    else {
      this.copy(bytes, event.start, event.prevKvStart);
      this.copy(bytes, event.prevKvEnd, event.end);
    }
  }

  /** A varint field, left out when it is 0. */
  int64(tag: number, value: number): void {
    if (value === 0) return;
    this.bytes[this.#at++] = tag;
    this.#at = writeVarint(this.bytes, this.#at, value);
  }

  bool(tag: number, value: boolean): void {
    this.int64(tag, value ? 1 : 0);
  }

  payloadStart(tag: number, length: number): void {
    this.bytes[this.#at++] = tag;
    this.#at = writeVarint(this.bytes, this.#at, length);
  }

  copy(source: Uint8Array, start: number, end: number): void {
    const size = end - start;
    if (size > COPIED_BY_HAND_MAX) {
      this.bytes.set(source.subarray(start, end), this.#at);
      this.#at += size;
      return;
    }
    const bytes = this.bytes;
    let at = this.#at;
    for (let i = start; i < end; i++) bytes[at++] = source[i]!;
    this.#at = at;
  }
}

/** Longer runs are copied by `set`, which costs the view that it needs. */
const COPIED_BY_HAND_MAX = 64;

function int64FieldBytes(value: number | bigint): number {
  return value === 0 || value === 0n ? 0 : TAG_BYTES + varintBytes(value);
}

function boolFieldBytes(value: boolean): number {
  return value ? TAG_BYTES + 1 : 0;
}

function payloadFieldBytes(length: number): number {
  return TAG_BYTES + varintBytes(length) + length;
}

function headerBytes(header: AnswerHeader, revision: number): number {
  return header.identity.length + int64FieldBytes(revision);
}

function headerFieldBytes(header: AnswerHeader, revision: number): number {
  return payloadFieldBytes(headerBytes(header, revision));
}

function eventBytes(event: WatchEvent, withPrevKv: boolean): number {
  const size = event.end - event.start;
  return withPrevKv ? size : size - (event.prevKvEnd - event.prevKvStart);
}
