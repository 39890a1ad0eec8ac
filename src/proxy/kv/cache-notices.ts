/**
 * What the workers of one process tell each other about their caches of reads: changes that their clients are about to hear of,
 * as records of base/broadcast-rings.ts.
 *
 * Each end belongs to one worker. A record is a kind, a revision and a range; whoever has missed records for good learns from the
 * teller's marks how new the cluster is at the least, and whether even that is known.
 */
import { BroadcastRings, type RecordReceiver } from "../../base/broadcast-rings.ts";
import { UNKNOWN_REVISION } from "../../etcd/answer-revision.ts";
import { KeyRange } from "../../etcd/key-range.ts";
import { latin1Octet } from "../../hpack/latin1.ts";

/** Some 20,000 writes that a worker may be behind before it loses its cache. It looks every second. */
const RING_BYTES = 1024 * 1024;

/** Memory in which `workers` workers tell each other; each is given it when it starts. */
export function noticeMemory(workers: number, ringBytes = RING_BYTES): SharedArrayBuffer {
  return BroadcastRings.memory(workers, ringBytes);
}

/** Has the caches of all others forget what they hold, since worker `worker` has died amid what it did. */
export function forgetAfterDeath(memory: SharedArrayBuffer, workers: number, worker: number): void {
  new BroadcastRings(memory, workers, -1).skip(worker);
}

/** What a cache is told by others. Of all of it only what is new to it is news. */
export interface NoticeReceiver {
  /** A write to `range` was acknowledged, or an event of it seen, at `revision`. */
  acknowledged(range: KeyRange, revision: number): void;
  refused(range: KeyRange): void;
  uncertain(range: KeyRange): void;
  /** `UNKNOWN_REVISION`: of a newer state than anybody knows. */
  shown(revision: number): void;
  cleared(): void;
  compacted(revision: number): void;
  /** The cluster has begun anew, from what state is not known here. */
  begunAnew(): void;
}

const KIND = { acknowledged: 1, refused: 2, uncertain: 3, shown: 4, cleared: 5, compacted: 6, begunAnew: 7 };
/** How new the cluster is at the least; its compacted revision; how often the former was said to be unknown. */
const FLOOR_MARK = 0;
const COMPACTED_MARK = 1;
const UNKNOWN_MARK = 2;

/** Where a record has its kind, its revision, the length of the range's start, and the two texts of the range. */
const KIND_AT = 0;
const REVISION_AT = 8;
const START_LENGTH_AT = 16;
const TEXTS_AT = 20;
/** How a range without an end, and one of a single key, is written: as requests write it. */
const NO_END = "\0";

export class CacheNotices implements RecordReceiver {
  readonly #rings: BroadcastRings;
  readonly #record: Uint8Array;
  readonly #view: DataView;
  #receiver: NoticeReceiver | null = null;
  #floor: number;
  #compacted: number;
  #unknown: number;
  /** How often each member's floor was unknown, as far as that has been received. */
  readonly #unknownSeen: number[];

  constructor(memory: SharedArrayBuffer, workers: number, worker: number) {
    const rings = new BroadcastRings(memory, workers, worker);
    this.#rings = rings;
    this.#record = new Uint8Array(rings.recordBytesMax);
    this.#view = new DataView(this.#record.buffer);
    // One that takes a dead worker's place goes on with its marks.
    this.#floor = rings.mark(worker, FLOOR_MARK);
    this.#compacted = rings.mark(worker, COMPACTED_MARK);
    this.#unknown = rings.mark(worker, UNKNOWN_MARK);
    this.#unknownSeen = Array.from({ length: workers }, () => 0);
  }

  // What this worker tells. Nobody hears of it before `announce`.

  acknowledged(range: KeyRange, revision: number): void {
    this.#raiseFloor(revision);
    this.#publish(KIND.acknowledged, revision, range);
  }

  refused(range: KeyRange): void {
    this.#publish(KIND.refused, 0, range);
  }

  uncertain(range: KeyRange): void {
    this.#publish(KIND.uncertain, 0, range);
  }

  shown(revision: number): void {
    if (revision === UNKNOWN_REVISION) this.#floorUnknown();
    else this.#raiseFloor(revision);
    this.#publish(KIND.shown, revision, null);
  }

  cleared(): void {
    this.#publish(KIND.cleared, 0, null);
  }

  compacted(revision: number): void {
    if (revision > this.#compacted) this.#rings.setMark(COMPACTED_MARK, (this.#compacted = revision));
    this.#publish(KIND.compacted, revision, null);
  }

  begunAnew(): void {
    this.#forgetMarks();
    this.#floorUnknown();
    this.#publish(KIND.begunAnew, 0, null);
  }

  /** All that was told is known to whoever asks for `news` from here on. */
  announce(): void {
    this.#rings.announce();
  }

  // What the others tell.

  get news(): boolean {
    return this.#rings.news;
  }

  receive(receiver: NoticeReceiver): void {
    this.#receiver = receiver;
    this.#rings.receive(this);
  }

  onRecord(bytes: Uint8Array, start: number, end: number): void {
    const receiver = this.#receiver!;
    const view = new DataView(bytes.buffer, start, end - start);
    const revision = view.getFloat64(REVISION_AT);
    switch (view.getInt32(KIND_AT)) {
      case KIND.acknowledged:
        return receiver.acknowledged(rangeOf(view, bytes, start, end), revision);
      case KIND.refused:
        return receiver.refused(rangeOf(view, bytes, start, end));
      case KIND.uncertain:
        return receiver.uncertain(rangeOf(view, bytes, start, end));
      case KIND.shown:
        return receiver.shown(revision);
      case KIND.compacted:
        return receiver.compacted(revision);
      case KIND.begunAnew:
        this.#forgetMarks();
        return receiver.begunAnew();
      default:
        return receiver.cleared();
    }
  }

  onOvertaken(member: number): void {
    const receiver = this.#receiver!;
    const unknown = this.#rings.mark(member, UNKNOWN_MARK);
    receiver.cleared();
    receiver.shown(this.#rings.mark(member, FLOOR_MARK));
    receiver.compacted(this.#rings.mark(member, COMPACTED_MARK));
    if (unknown !== this.#unknownSeen[member]) receiver.shown(UNKNOWN_REVISION);
    this.#unknownSeen[member] = unknown;
  }

  #raiseFloor(revision: number): void {
    if (revision > this.#floor) this.#rings.setMark(FLOOR_MARK, (this.#floor = revision));
  }

  /** They are of a cluster that is no more. */
  #forgetMarks(): void {
    this.#rings.setMark(FLOOR_MARK, (this.#floor = 0));
    this.#rings.setMark(COMPACTED_MARK, (this.#compacted = 0));
  }

  #floorUnknown(): void {
    this.#rings.setMark(UNKNOWN_MARK, ++this.#unknown);
  }

  #publish(kind: number, revision: number, range: KeyRange | null): void {
    const start = range?.start ?? "";
    const end = range === null || range.isSingleKey ? "" : (range.end ?? NO_END);
    const length = TEXTS_AT + start.length + end.length;
    if (length > this.#record.length) {
      // Keys as long as a good part of the ring: the others lose what they hold, and its floor is the mark's.
      this.#publish(KIND.shown, revision, null);
      this.#publish(KIND.cleared, 0, null);
      return;
    }
    this.#view.setInt32(KIND_AT, kind);
    this.#view.setFloat64(REVISION_AT, revision);
    this.#view.setInt32(START_LENGTH_AT, start.length);
    this.#write(start, TEXTS_AT);
    this.#write(end, TEXTS_AT + start.length);
    this.#rings.publish(this.#record, length);
  }

  #write(text: string, at: number): void {
    for (let index = 0; index < text.length; index++) this.#record[at + index] = latin1Octet(text, index);
  }
}

function rangeOf(view: DataView, bytes: Uint8Array, start: number, end: number): KeyRange {
  const startAt = start + TEXTS_AT;
  const endAt = startAt + view.getInt32(START_LENGTH_AT);
  return KeyRange.ofPieces(bytes, startAt, endAt, endAt, end) ?? EVERY_KEY;
}

/** What no record says: ranges that are told are never empty. */
const EVERY_KEY = KeyRange.of(new Uint8Array(0), new Uint8Array(1))!;
