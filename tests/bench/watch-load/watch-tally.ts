/**
 * Reads the WatchResponses of one Watch stream: how many events each watch got, of which revisions, how late.
 *
 * Made to cost some ten nanoseconds for an event: it makes no object and knows how etcd encodes events (fields in
 * the order of their numbers), which every proxy passes on. What it does not know it refuses. Invariant: a watch
 * whose revisions do not rise is an error; with the count and the sum of its revisions, none can be missing or
 * foreign unseen.
 */
import type { Arrivals } from "./arrivals.ts";
import { stampBefore } from "./put-stamp.ts";

/** Tags of WatchResponse, Event and KeyValue: field number and wire type. */
const HEADER = 0x0a;
const WATCH_ID = 0x10;
const CREATED = 0x18;
const CANCELED = 0x20;
const COMPACT_REVISION = 0x28;
const CANCEL_REASON = 0x32;
const FRAGMENT = 0x38;
const EVENTS = 0x5a;
const EVENT_TYPE = 0x08;
const EVENT_KV = 0x12;
const KEY = 0x0a;
const CREATE_REVISION = 0x10;
const MOD_REVISION = 0x18;

export class WatchTally {
  /** Events of each watch, by its id. */
  readonly counts: Int32Array;
  /** Sum of the revisions of each watch's events. */
  readonly revisionSums: Float64Array;
  readonly #lastRevisions: Int32Array;
  readonly #arrivals: Arrivals;
  #created = 0;
  /** How far the last varint went. */
  #at = 0;

  /**
   * @param watches how many watches the stream is to have; their ids go from 0 on.
   * @param arrivals where those of this stream are added.
   */
  constructor(watches: number, arrivals: Arrivals) {
    this.counts = new Int32Array(watches);
    this.revisionSums = new Float64Array(watches);
    this.#lastRevisions = new Int32Array(watches);
    this.#arrivals = arrivals;
  }

  /** How many watches were told to be created. */
  get created(): number {
    return this.#created;
  }

  /** Forgets the events so far, but not how far each watch is. */
  reset(): void {
    this.counts.fill(0);
    this.revisionSums.fill(0);
  }

  /**
   * Reads the WatchResponse `bytes[start, end)`, which came at `nowMicros`.
   *
   * @throws Error when the watch was canceled, or its events are not in order.
   */
  read(bytes: Uint8Array, start: number, end: number, nowMicros: number): void {
    const arrivals = this.#arrivals;
    const latencies = arrivals.latencies;
    let watchId = 0;
    let events = 0;
    let firstRevision = 0;
    let lastRevision = 0;
    let revisionSum = 0;
    let at = start;
    while (at < end) {
      const tag = bytes[at++]!;
      switch (tag) {
        case EVENTS: {
          let length = bytes[at++]!;
          if (length >= 0x80) {
            length = this.#varint(bytes, at - 1);
            at = this.#at;
          }
          const eventEnd = at + length;
          // Event: type (absent for a put), kv and its length; KeyValue: key, create_revision, mod_revision, …
          if (bytes[at] === EVENT_TYPE) at += 2;
          if (bytes[at++] !== EVENT_KV) throw new Error("an event without a key");
          while (bytes[at++]! >= 0x80);
          if (bytes[at++] !== KEY || bytes[at]! >= 0x80)
            throw new Error("a key that this client cannot read");
          at += bytes[at]! + 1;
          if (bytes[at] === CREATE_REVISION) while (bytes[++at]! >= 0x80);
          if (bytes[++at] !== MOD_REVISION) throw new Error("an event without a revision");
          let byte = bytes[++at]!;
          let revision = byte & 0x7f;
          for (let shift = 7; byte >= 0x80; shift += 7) {
            byte = bytes[++at]!;
            revision |= (byte & 0x7f) << shift;
          }
          at = eventEnd;
          if (revision <= lastRevision) throw new Error(`revision ${revision} after ${lastRevision}`);
          if (events++ === 0) firstRevision = revision;
          lastRevision = revision;
          revisionSum += revision;
          latencies.add((nowMicros - stampBefore(bytes, eventEnd)) | 0);
          break;
        }
        case HEADER:
        case CANCEL_REASON:
          at = bytes[at]! < 0x80 ? at + 1 + bytes[at]! : this.#varint(bytes, at) + this.#at;
          break;
        case WATCH_ID:
          watchId = bytes[at]!;
          if (watchId < 0x80) at++;
          else {
            watchId = this.#varint(bytes, at);
            at = this.#at;
          }
          break;
        case CREATED:
          this.#created++;
          arrivals.created++;
          at++;
          break;
        case CANCELED:
          throw new Error("the server canceled a watch");
        case COMPACT_REVISION:
        case FRAGMENT:
          this.#varint(bytes, at);
          at = this.#at;
          break;
        default:
          throw new Error(`a WatchResponse with the tag ${tag}, which this client does not know`);
      }
    }
    if (events === 0) return;
    if (!(watchId < this.counts.length))
      throw new Error(`events for a watch ${watchId} that was not asked for`);
    if (firstRevision <= this.#lastRevisions[watchId]!) {
      throw new Error(`watch ${watchId} got revision ${firstRevision} after ${this.#lastRevisions[watchId]}`);
    }
    this.#lastRevisions[watchId] = lastRevision;
    this.counts[watchId]! += events;
    this.revisionSums[watchId]! += revisionSum;
    arrivals.events += events;
  }

  /** The varint at `bytes[start]`; where it ends is in `#at`. Exact below 2^53. */
  #varint(bytes: Uint8Array, start: number): number {
    let at = start;
    let byte = bytes[at++]!;
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!;
      value = shift < 28 ? value | ((byte & 0x7f) << shift) : value + (byte & 0x7f) * 2 ** shift;
    }
    this.#at = at;
    return value;
  }
}
