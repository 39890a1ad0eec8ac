import { beforeEach, describe, expect, test } from "bun:test";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import type { WatchEvent } from "../../../src/etcd/watch-response.ts";
import { CachedRead, type CachedReadTable } from "../../../src/proxy/kv/cached-read.ts";
import { ReadCache, type ReadCacheOptions } from "../../../src/proxy/kv/read-cache.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

const BOUNDS = { bytesMax: 100_000, entriesMax: 100, maxAgeMs: 1000, scannedMax: 10 };

let clock: FakeClock;
let cache: ReadCache;
let table: CachedReadTable;

beforeEach(() => begin());

function begin(bounds: Partial<ReadCacheOptions> = {}): void {
  clock = new FakeClock();
  cache = new ReadCache({ ...BOUNDS, clock, ...bounds });
  table = new Map();
}

function range(key: string, rangeEnd = ""): KeyRange {
  return KeyRange.of(Buffer.from(key), Buffer.from(rangeEnd))!;
}

interface Kept {
  readonly rangeEnd?: string;
  readonly revision?: number;
  readonly askedRevision?: number;
  readonly bytes?: number;
  readonly readAtMs?: number;
  readonly text?: string;
}

/** Keeps an answer about `key`, in place of the one that is there; its text is the key and the range end. */
function keep(key: string, kept: Kept = {}): boolean {
  const {
    rangeEnd = "",
    revision = 5,
    askedRevision = 0,
    bytes = 10,
    text = `${key} ${rangeEnd}`.trim(),
  } = kept;
  const answer = { head: [], bytes: new Uint8Array(bytes), start: 0, end: bytes, trailers: [] };
  const readAtMs = kept.readAtMs ?? clock.nowMs();
  const known = table.get(text);
  if (known !== undefined) return cache.replace(known, answer, revision, readAtMs);
  return cache.keep(
    new CachedRead(table, text, range(key, rangeEnd), askedRevision, answer, revision, readAtMs),
  );
}

function has(text: string): boolean {
  return cache.find(table, text) !== null;
}

function event(key: string, revision: number): [Uint8Array, WatchEvent[]] {
  const bytes = Buffer.from(`..${key}..`);
  const place = { keyStart: 2, keyEnd: 2 + key.length, prevKvStart: 0, prevKvEnd: 0 };
  return [bytes, [{ start: 0, end: bytes.length, revision, isDelete: false, ...place }]];
}

describe("what is kept", () => {
  test("is found by its text, in its table", () => {
    keep("k");
    expect(has("k")).toBe(true);
    expect(has("l")).toBe(false);
    expect(cache.find(new Map(), "k")).toBeNull();
  });

  test("lives for the most that it may be old, counted from when it was sent for", () => {
    keep("k", { readAtMs: clock.nowMs() - 400 });
    clock.advance(600);
    expect(has("k")).toBe(true);
    clock.advance(1);
    expect(has("k")).toBe(false);
    expect(keep("k", { readAtMs: clock.nowMs() - 1001 })).toBe(false);
    expect([cache.entries, cache.keys, cache.bytes, table.size]).toEqual([0, 0, 0, 0]);
  });

  test("gives its memory back though nobody asks again", () => {
    for (const key of ["k", "l", "m"]) keep(key);
    clock.advance(500);
    expect(has("l")).toBe(true);
    keep("n");
    clock.advance(2500);
    expect([cache.entries, cache.keys, cache.bytes, table.size, clock.timers]).toEqual([0, 0, 0, 0, 0]);
  });

  test("takes the place of what was there for the same text", () => {
    keep("k", { revision: 5, bytes: 10 });
    keep("k", { revision: 6, bytes: 20 });
    expect([cache.entries, cache.keys]).toEqual([1, 1]);
    expect(cache.find(table, "k")?.bytes).toHaveLength(20);
    clock.advance(600);
    keep("k", { revision: 7, readAtMs: clock.nowMs() - 100 });
    clock.advance(900);
    expect(has("k")).toBe(true);
    clock.advance(1);
    expect(has("k")).toBe(false);
  });

  test("is renewed by an answer of the same revision, not by an older one", () => {
    keep("k", { revision: 5 });
    const entry = table.get("k")!;
    clock.advance(800);
    expect(cache.renew(entry, 4, clock.nowMs())).toBe(true);
    expect(entry.readAtMs).toBe(clock.nowMs() - 800);
    expect(cache.renew(entry, 5, clock.nowMs() - 100)).toBe(true);
    clock.advance(850);
    expect(has("k")).toBe(true);
    expect(cache.renew(entry, 5, clock.nowMs() - 2000)).toBe(true);
    clock.advance(100);
    expect(cache.renew(entry, 4, clock.nowMs())).toBe(false);
    expect(has("k")).toBe(false);
  });
});

describe("the bounds", () => {
  test("in entries: the one that was used longest ago goes, out of its table and the index, too", () => {
    begin({ entriesMax: 3 });
    for (const key of ["a", "b", "c"]) keep(key);
    expect(has("a")).toBe(true);
    keep("d", { rangeEnd: "f" });
    expect([...table.keys()]).toEqual(["a", "c", "d f"]);
    expect([cache.entries, cache.keys]).toEqual([3, 3]);
  });

  test("are what evictions are counted for, not what is old or written to", () => {
    begin({ entriesMax: 3 });
    for (const key of ["a", "b", "c"]) keep(key);
    keep("a", { revision: 6 });
    cache.onAcknowledged(range("b"), 7);
    cache.clear();
    for (const key of ["a", "b", "c"]) keep(key, { revision: 8 });
    expect(cache.evictions).toBe(0);
    keep("d", { revision: 8 });
    keep("e", { revision: 8 });
    expect(cache.evictions).toBe(2);
  });

  test("in bytes, with what an entry costs besides its answer", () => {
    begin({ bytesMax: 4000 });
    for (let n = 0; n < 20; n++) keep(`key ${n}`, { bytes: 100 });
    expect(cache.bytes).toBeLessThanOrEqual(4000);
    expect(cache.entries).toBe(6);
    expect([cache.keys, table.size]).toEqual([6, 6]);
  });

  test("for one answer: a quarter of all", () => {
    begin({ bytesMax: 8000 });
    keep("k");
    expect(cache.entryBytesMax).toBe(2000);
    expect(keep("l", { bytes: 2000 })).toBe(false);
    expect(keep("m", { bytes: 1400 })).toBe(true);
    expect(has("k")).toBe(true);
    expect(keep("k", { bytes: 2000, revision: 6 })).toBe(false);
    expect(has("k")).toBe(false);
  });

  test("change with an answer that takes another's place", () => {
    keep("k", { revision: 5, bytes: 10 });
    const before = cache.bytes;
    keep("k", { revision: 6, bytes: 110 });
    expect([cache.bytes - before, cache.entries, cache.keys]).toEqual([100, 1, 1]);
  });
});

describe("an acknowledged write", () => {
  test("drops what is older about its key, ranges included, and nothing else", () => {
    keep("k", { revision: 5 });
    keep("k", { revision: 7, text: "k at 7" });
    keep("j", { rangeEnd: "l", revision: 6 });
    keep("l", { rangeEnd: "n", revision: 6 });
    keep("l", { revision: 5 });
    cache.onAcknowledged(range("k"), 7);
    expect([...table.keys()]).toEqual(["k at 7", "l n", "l"]);
  });

  test("of a range drops what is older about any key in it", () => {
    keep("a", { revision: 5 });
    keep("b", { revision: 5 });
    keep("b", { rangeEnd: "z", revision: 5 });
    keep("c", { rangeEnd: "z", revision: 5 });
    cache.onAcknowledged(range("a", "c"), 6);
    expect([...table.keys()]).toEqual(["c z"]);
  });

  test("of a range drops everything when there is too much to look at", () => {
    for (let n = 0; n < 11; n++) keep(`key ${n}`);
    const { epoch } = cache;
    cache.onAcknowledged(range("x", "z"), 6);
    expect(cache.entries).toBe(0);
    expect(cache.epoch).toBe(epoch + 1);
  });

  test("keeps older answers out that are still under way", () => {
    cache.onAcknowledged(range("k"), 7);
    expect(cache.admits(6, cache.epoch)).toBe(false);
    expect(cache.admits(7, cache.epoch)).toBe(true);
    cache.onAcknowledged(range("k"), 6);
    expect(cache.admits(6, cache.epoch)).toBe(false);
  });
});

describe("a write", () => {
  test("that was refused drops what it names, whatever its age; what is under way may be kept", () => {
    keep("k", { revision: 1000 });
    keep("l");
    const { epoch } = cache;
    cache.onRefused(range("k"));
    expect([...table.keys()]).toEqual(["l"]);
    expect(cache.admits(5, epoch)).toBe(true);
  });

  test("of an unknown outcome keeps out what is under way", () => {
    keep("k", { revision: 1000 });
    const { epoch } = cache;
    cache.onUncertain(range("k"));
    expect(table.size).toBe(0);
    expect(cache.admits(1000, epoch)).toBe(false);
    expect(cache.admits(5, cache.epoch)).toBe(true);
  });
});

describe("an event", () => {
  test("drops what is older about its key, and keeps older answers out", () => {
    keep("k", { revision: 5 });
    keep("a", { rangeEnd: "z", revision: 7 });
    keep("a", { rangeEnd: "l", revision: 6 });
    keep("l", { revision: 5 });
    cache.onEvents(...event("k", 7));
    expect([...table.keys()]).toEqual(["a z", "l"]);
    expect(cache.admits(6, cache.epoch)).toBe(false);
    cache.onEvents(...event("other", 9));
    expect(cache.floorRevision).toBe(9);
  });
});

describe("an answer without a revision", () => {
  test("keeps all others out when it acknowledges a write: until a linearizable one, sent since, tells", () => {
    const { epoch } = cache;
    cache.onShown(-1);
    expect(cache.admits(1000, cache.epoch)).toBe(false);
    cache.onLinearizable(8, epoch, 0);
    expect(cache.admits(1000, cache.epoch)).toBe(false);
    cache.onLinearizable(7, cache.epoch, 0);
    expect([cache.admits(6, cache.epoch), cache.admits(7, cache.epoch)]).toEqual([false, true]);
  });

  test("is not kept", () => {
    expect(cache.admits(-1, cache.epoch)).toBe(false);
  });
});

describe("a compaction", () => {
  test("ends reads at a revision below it", () => {
    for (const askedRevision of [0, 3, 4]) keep("k", { askedRevision, text: `${askedRevision}` });
    cache.compacted(4);
    expect([has("0"), has("3"), has("4")]).toEqual([true, false, true]);
    expect(keep("k", { askedRevision: 3, text: "3" })).toBe(false);
    cache.compacted(2);
    expect(keep("k", { askedRevision: 3, text: "3" })).toBe(false);
  });
});

describe("a cluster that began anew from an older state", () => {
  test("is told by a linearizable answer below what was known before it was sent", () => {
    keep("k", { revision: 1000 });
    cache.onAcknowledged(range("l"), 1000);
    cache.compacted(900);
    const { epoch } = cache;
    cache.onLinearizable(1000, cache.epoch, 1000);
    expect(cache.epoch).toBe(epoch);
    cache.onLinearizable(5, cache.epoch, 1000);
    expect([table.size, cache.floorRevision, cache.compactedRevision]).toEqual([0, 5, 0]);
    expect(cache.admits(5, epoch)).toBe(false);
    expect(cache.admits(5, cache.epoch)).toBe(true);
  });

  test("is begun once: what was on its way then does not take back what was written since", () => {
    cache.onAcknowledged(range("k"), 1000);
    cache.onLinearizable(5, cache.epoch, 1000);
    cache.onAcknowledged(range("k"), 6);
    keep("k", { revision: 6 });
    cache.onLinearizable(5, cache.epoch, 1000);
    expect(cache.floorRevision).toBe(6);
    expect(has("k")).toBe(true);
  });

  test("is not told by a read that was sent before a write was acknowledged", () => {
    keep("k", { revision: 7 });
    cache.onAcknowledged(range("l"), 7);
    cache.onLinearizable(6, cache.epoch, 5);
    expect(has("k")).toBe(true);
    cache.onLinearizable(-1, cache.epoch, 7);
    expect(has("k")).toBe(true);
  });
});
