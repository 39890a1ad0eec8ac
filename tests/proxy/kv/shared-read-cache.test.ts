import { beforeEach, describe, expect, test } from "bun:test";
import { UNKNOWN_REVISION } from "../../../src/etcd/answer-revision.ts";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { CacheNotices, forgetAfterDeath, noticeMemory } from "../../../src/proxy/kv/cache-notices.ts";
import { CachedRead, type CachedReadTable } from "../../../src/proxy/kv/cached-read.ts";
import { SharedReadCache } from "../../../src/proxy/kv/shared-read-cache.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

const WORKERS = 2;
const RING_BYTES = 4096;
const BOUNDS = { bytesMax: 1_000_000, entriesMax: 1000, maxAgeMs: 60_000, scannedMax: 10 };

let clock: FakeClock;
let memory: SharedArrayBuffer;
/** The one that tells, and the one that hears. */
let teller: SharedReadCache;
let hearer: SharedReadCache;
let table: CachedReadTable;

beforeEach(() => {
  clock = new FakeClock();
  memory = noticeMemory(WORKERS, RING_BYTES);
  teller = start(0);
  hearer = start(1);
  table = new Map();
});

function start(worker: number): SharedReadCache {
  return new SharedReadCache({ ...BOUNDS, clock }, new CacheNotices(memory, WORKERS, worker));
}

function range(key: string, rangeEnd = ""): KeyRange {
  return KeyRange.of(Buffer.from(key, "latin1"), Buffer.from(rangeEnd, "latin1"))!;
}

/** Has `hearer` keep an answer about the range if that may be; its text is the range's id. */
function keep(of: KeyRange, revision = 5, epoch = hearer.epoch): boolean {
  const answer = { head: [], bytes: new Uint8Array(10), start: 0, end: 10, trailers: [] };
  if (!hearer.admits(revision, epoch)) return false;
  return hearer.keep(new CachedRead(table, of.id, of, 0, answer, revision, clock.nowMs()));
}

function has(of: KeyRange): boolean {
  return hearer.find(table, of.id) !== null;
}

const [a, b, many, all] = [range("a"), range("b"), range("a", "c"), range("\0", "\0")];

describe("what another worker's client is shown", () => {
  test("by a write drops what is older about its key, ranges included, and nothing else", () => {
    for (const each of [a, b, many, all]) keep(each);
    keep(range("c"), 8);
    teller.onAcknowledged(a, 6);
    expect([a, b, many, all, range("c")].map(has)).toEqual([false, true, false, false, true]);
  });

  test("by a write of a range, or from a key on, drops what is older about any key in it", () => {
    for (const each of [a, b, range("\xff\xfe")]) keep(each);
    teller.onAcknowledged(range("a", "b"), 6);
    expect([a, b].map(has)).toEqual([false, true]);
    teller.onAcknowledged(range("b", "\0"), 6);
    expect([b, range("\xff\xfe")].map(has)).toEqual([false, false]);
  });

  test("keeps out older answers that are under way, of any key", () => {
    const { epoch } = hearer;
    teller.onAcknowledged(a, 6);
    expect(keep(b, 5, epoch)).toBe(false);
    expect(keep(b, 6, epoch)).toBe(true);
  });

  test("by events drops what is older about each key", () => {
    for (const each of [a, b, range("c")]) keep(each);
    const bytes = Buffer.from("ab");
    const place = { start: 0, end: 2, isDelete: false, prevKvStart: 0, prevKvEnd: 0 };
    teller.onEvents(bytes, [
      { ...place, keyStart: 0, keyEnd: 1, revision: 6 },
      { ...place, keyStart: 1, keyEnd: 2, revision: 7 },
    ]);
    expect([a, b, range("c")].map(has)).toEqual([false, false, true]);
    expect(hearer.floorRevision).toBe(7);
  });

  test("by a lost write drops what is there, and keeps out what is under way", () => {
    keep(a, 9);
    const { epoch } = hearer;
    teller.onUncertain(a);
    expect(has(a)).toBe(false);
    expect(keep(b, 9, epoch)).toBe(false);
    expect(keep(b, 9)).toBe(true);
  });

  test("by a refused write drops what it names, and keeps nothing out", () => {
    keep(a, 9);
    const { epoch } = hearer;
    teller.onRefused(a);
    expect(has(a)).toBe(false);
    expect(keep(b, 9, epoch)).toBe(true);
  });

  test("by what may have changed anything drops everything", () => {
    for (const each of [a, b]) keep(each, 9);
    teller.clear();
    expect([a, b].map(has)).toEqual([false, false]);
  });

  test("by a stream that nobody reads keeps everything out, until a linearizable answer tells how new the cluster is", () => {
    teller.onShown(UNKNOWN_REVISION);
    expect(keep(a, 9)).toBe(false);
    hearer.onLinearizable(10, hearer.epoch, hearer.floorRevision);
    expect([keep(a, 9), keep(a, 10)]).toEqual([false, true]);
  });

  test("by a compaction ends reads at a revision below it", () => {
    teller.compacted(7);
    has(a);
    expect(hearer.compactedRevision).toBe(7);
  });

  test("with a key as long as a good part of a ring drops everything, and keeps older answers out", () => {
    keep(a);
    teller.onAcknowledged(range("k".repeat(RING_BYTES)), 6);
    expect(has(a)).toBe(false);
    expect([keep(a, 5), keep(a, 6)]).toEqual([false, true]);
  });
});

describe("a worker that was overtaken", () => {
  const overtake = (revision: number): void => {
    for (let count = 0; count < RING_BYTES / 8; count++) teller.onAcknowledged(range("z"), revision);
  };

  test("has forgotten everything, and keeps out what is under way or older than was shown", () => {
    keep(a);
    const { epoch } = hearer;
    teller.onAcknowledged(range("a"), 6);
    overtake(7);
    expect(has(a)).toBe(false);
    expect(keep(b, 9, epoch)).toBe(false);
    expect([keep(b, 6), keep(b, 7)]).toEqual([false, true]);
  });

  test("keeps nothing until it knows how new the cluster is, if that was lost to it", () => {
    teller.onShown(UNKNOWN_REVISION);
    overtake(7);
    has(a);
    expect(keep(a, 9)).toBe(false);
    hearer.onLinearizable(9, hearer.epoch, hearer.floorRevision);
    expect(keep(a, 9)).toBe(true);
  });

  test("knows the compaction that it has missed", () => {
    teller.compacted(7);
    overtake(7);
    has(a);
    expect(hearer.compactedRevision).toBe(7);
  });

  test("is none as long as it looks now and then, though nobody reads from it", () => {
    keep(a, 9);
    for (let round = 0; round < 20; round++) {
      for (let count = 0; count < RING_BYTES / 8 / 8; count++) teller.onAcknowledged(range("z"), 7);
      clock.advance(1000);
    }
    expect(has(a)).toBe(true);
  });
});

describe("a worker that dies", () => {
  test("has the others forget everything, for what it did has no known outcome", () => {
    keep(a, 9);
    const { epoch } = hearer;
    forgetAfterDeath(memory, WORKERS, 0);
    expect(has(a)).toBe(false);
    expect(keep(a, 9, epoch)).toBe(false);
  });

  test("has a successor that keeps out what is older than was shown before it", () => {
    teller.onAcknowledged(a, 6);
    hearer.onAcknowledged(a, 8);
    forgetAfterDeath(memory, WORKERS, 1);
    hearer = start(1);
    expect([keep(a, 7), keep(a, 8)]).toEqual([false, true]);
  });

  test("has a successor whose writes the others hear of", () => {
    forgetAfterDeath(memory, WORKERS, 0);
    teller = start(0);
    keep(a);
    teller.onAcknowledged(a, 6);
    expect(has(a)).toBe(false);
  });
});

test("a cluster that began anew is heard of by all, and the next linearizable answer tells how new it is", () => {
  teller.onAcknowledged(a, 100);
  keep(a, 100);
  // A linearizable read at the other worker shows that the cluster is an older one now.
  teller.onLinearizable(6, teller.epoch, teller.floorRevision);
  expect(has(a)).toBe(false);
  expect(keep(a, 6)).toBe(false);
  hearer.onLinearizable(7, hearer.epoch, hearer.floorRevision);
  expect([keep(a, 6), keep(a, 7)]).toEqual([false, true]);
});

test("a worker that comes after a cluster began anew knows nothing of what was shown before", () => {
  hearer.onAcknowledged(a, 100);
  teller.onShown(1);
  teller.admits(1, 0);
  teller.onLinearizable(6, teller.epoch, teller.floorRevision);
  has(a);
  forgetAfterDeath(memory, WORKERS, 0);
  expect(start(0).floorRevision).toBeLessThan(100);
});
