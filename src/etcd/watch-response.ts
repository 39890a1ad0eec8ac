/**
 * Reads a member's WatchResponse where it lies (etcd API, Watch): what the hub decides by becomes numbers, events
 * stay bytes, to be copied into the answers of the clients.
 *
 * Fields may come in any order, and unknown ones are skipped. One that should be there once counts as protobuf
 * wants it, by its last value; a repeated `header` is not merged, the last one counts. What etcd never sends and
 * could not be copied right is refused: see `WatchEvent.prevKvStart`.
 */
import { latin1Text } from "../hpack/latin1.ts";
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";
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

export { MalformedMessage };

/** A ResponseHeader, its revision apart: so that it can be told with another revision. */
export interface AnswerHeader {
  /** All fields but the revision, encoded. */
  readonly identity: Uint8Array;
  readonly revision: number;
}

/** An Event, as positions in the bytes that were read. */
export interface WatchEvent {
  /** The Event message, without tag and length: [start, end). */
  readonly start: number;
  readonly end: number;
  /** `kv.mod_revision`. */
  readonly revision: number;
  readonly isDelete: boolean;
  /** `kv.key`: [keyStart, keyEnd). */
  readonly keyStart: number;
  readonly keyEnd: number;
  /** The field `prev_kv` with its tag and length; equal when there is none. Several lie side by side, or are refused. */
  readonly prevKvStart: number;
  readonly prevKvEnd: number;
}

/** The longest header that is taken: what it says beside the revision is told with every answer to a client. */
const HEADER_BYTES_MAX = 4096;
/** What is passed on of the reason for a cancellation, in bytes: each client of the watch is told it. */
const CANCEL_REASON_BYTES_MAX = 4096;

const NO_BYTES = new Uint8Array(0);
const NO_HEADER: AnswerHeader = { identity: NO_BYTES, revision: 0 };
const utf8 = new TextDecoder();

// Tags: the field's number times eight, and 0 for a varint, 2 for what has a length.
const EVENT_TYPE = 0x08;
const EVENT_KV = 0x12;
const EVENT_PREV_KV = 0x1a;
const KV_KEY = 0x0a;
const KV_MOD_REVISION = 0x18;
const TYPE_DELETE = 1;

/** Reads one WatchResponse after another. The fields are those of the last one. */
export class WatchResponseReader {
  header: AnswerHeader = NO_HEADER;
  watchId = 0;
  created = false;
  canceled = false;
  compactRevision = 0;
  cancelReason = "";
  fragment = false;
  /** A new array for each response. */
  events: WatchEvent[] = [];
  readonly #cursor = new ProtobufCursor();
  readonly #headers = new HeaderReader();
  readonly #eventsMax: number;

  /** `eventsMax`: more of them in one message are refused. An event of two bytes takes fifty times as much here. */
  constructor(eventsMax = Number.POSITIVE_INFINITY) {
    this.#eventsMax = eventsMax;
  }

  /**
   * Reads the message `bytes[start, end)`, which the events point into afterwards. Throws `MalformedMessage`, and
   * has fields of no meaning then.
   */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.header = NO_HEADER;
    this.watchId = 0;
    this.created = false;
    this.canceled = false;
    this.compactRevision = 0;
    this.cancelReason = "";
    this.fragment = false;
    this.events = [];
    const cursor = this.#cursor;
    cursor.at = start;
    while (cursor.at < end) {
      const tag = cursor.tag(bytes, end);
      switch (tag) {
        case RESPONSE_HEADER:
          this.header = this.#headers.read(cursor, bytes, cursor.payloadEnd(bytes, end));
          break;
        case RESPONSE_WATCH_ID:
          this.watchId = cursor.int64(bytes, end);
          break;
        case RESPONSE_CREATED:
          this.created = cursor.int64(bytes, end) !== 0;
          break;
        case RESPONSE_CANCELED:
          this.canceled = cursor.int64(bytes, end) !== 0;
          break;
        case RESPONSE_COMPACT_REVISION:
          this.compactRevision = cursor.int64(bytes, end);
          break;
        case RESPONSE_CANCEL_REASON: {
          const textEnd = cursor.payloadEnd(bytes, end);
          const keptEnd = Math.min(textEnd, cursor.at + CANCEL_REASON_BYTES_MAX);
          this.cancelReason = utf8.decode(bytes.subarray(cursor.at, keptEnd));
          cursor.at = textEnd;
          break;
        }
        case RESPONSE_FRAGMENT:
          this.fragment = cursor.int64(bytes, end) !== 0;
          break;
        case RESPONSE_EVENTS:
          if (this.events.length >= this.#eventsMax) throw new MalformedMessage("too many events");
          this.events.push(readEvent(cursor, bytes, cursor.payloadEnd(bytes, end)));
          break;
        default:
          cursor.skip(bytes, tag, end);
      }
    }
  }
}

function readEvent(cursor: ProtobufCursor, bytes: Uint8Array, end: number): WatchEvent {
  const start = cursor.at;
  let revision = 0;
  let isDelete = false;
  let keyStart = start;
  let keyEnd = start;
  let prevKvStart = start;
  let prevKvEnd = start;
  while (cursor.at < end) {
    const fieldStart = cursor.at;
    const tag = cursor.tag(bytes, end);
    if (tag === EVENT_KV) {
      const kvEnd = cursor.payloadEnd(bytes, end);
      while (cursor.at < kvEnd) {
        const kvTag = cursor.tag(bytes, kvEnd);
        if (kvTag === KV_KEY) {
          keyEnd = cursor.payloadEnd(bytes, kvEnd);
          keyStart = cursor.at;
          cursor.at = keyEnd;
        } else if (kvTag === KV_MOD_REVISION) revision = cursor.int64(bytes, kvEnd);
        else cursor.skip(bytes, kvTag, kvEnd);
      }
    } else if (tag === EVENT_PREV_KV) {
      if (prevKvStart === prevKvEnd) prevKvStart = fieldStart;
      else if (prevKvEnd !== fieldStart) throw new MalformedMessage("an event has prev_kv in two places");
      prevKvEnd = cursor.payloadEnd(bytes, end);
      cursor.at = prevKvEnd;
    } else if (tag === EVENT_TYPE) isDelete = cursor.int32(bytes, end) === TYPE_DELETE;
    else cursor.skip(bytes, tag, end);
  }
  return { start, end, revision, isDelete, keyStart, keyEnd, prevKvStart, prevKvEnd };
}

/** Reads headers, giving those that differ in nothing but the revision the same `identity`. */
class HeaderReader {
  #identity: Uint8Array = NO_BYTES;

  /** Reads the header from where `cursor` stands to `end`. */
  read(cursor: ProtobufCursor, bytes: Uint8Array, end: number): AnswerHeader {
    const start = cursor.at;
    if (end - start > HEADER_BYTES_MAX) {
      throw new MalformedMessage(`a header of ${end - start} bytes`);
    }
    const known = this.#identity;
    let matched = 0;
    let isKnown = true;
    let revision = 0;
    while (cursor.at < end) {
      let at = cursor.at;
      const tag = cursor.tag(bytes, end);
      if (tag === HEADER_REVISION) {
        revision = cursor.int64(bytes, end);
        continue;
      }
      cursor.skip(bytes, tag, end);
      // Beyond the known bytes there is nothing, which no byte equals.
      while (isKnown && at < cursor.at) isKnown = bytes[at++] === known[matched++];
    }
    if (!isKnown || matched !== known.length) this.#identity = identityOf(cursor, bytes, start, end);
    return { identity: this.#identity, revision };
  }
}

/** A copy of the fields of a valid header but the revision. */
function identityOf(cursor: ProtobufCursor, bytes: Uint8Array, start: number, end: number): Uint8Array {
  const identity = new Uint8Array(end - start);
  let length = 0;
  cursor.at = start;
  while (cursor.at < end) {
    let at = cursor.at;
    const tag = cursor.tag(bytes, end);
    cursor.skip(bytes, tag, end);
    if (tag === HEADER_REVISION) continue;
    while (at < cursor.at) identity[length++] = bytes[at++]!;
  }
  return identity.slice(0, length);
}

/** Reads the ResponseHeader `bytes[start, end)` of any answer. Throws `MalformedMessage`. */
export function readHeader(bytes: Uint8Array, start: number, end: number): AnswerHeader {
  const cursor = new ProtobufCursor();
  cursor.at = start;
  return new HeaderReader().read(cursor, bytes, end);
}

/** The key that changed, one character for each byte. `bytes` are those that the event was read from. */
export function keyOf(bytes: Uint8Array, event: WatchEvent): string {
  return latin1Text(bytes, event.keyStart, event.keyEnd);
}
