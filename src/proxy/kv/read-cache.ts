/**
 * Answers of reads, kept for those serializable ones that may be a little old (architecture §4, "Reads").
 *
 * An entry lives for `maxAgeMs` from when it was read at a member. It goes sooner when a write that this proxy
 * forwarded is answered, or an event came, that changes its keys. What arrives late is not kept: an answer older
 * than any write acknowledged or event seen here (`floorRevision`), or one that was under way while something of
 * an unknown outcome happened (`epoch`).
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "../../base/clock.ts";
import { UNKNOWN_REVISION } from "../../etcd/answer-revision.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { keyOf, type WatchEvent } from "../../etcd/watch-response.ts";
import type { Answer } from "./answer.ts";
import { CacheIndex } from "./cache-index.ts";
import type { CachedRead, CachedReadTable } from "./cached-read.ts";

export interface ReadCacheOptions {
  readonly clock: Clock;
  readonly bytesMax: number;
  readonly entriesMax: number;
  readonly maxAgeMs: number;
  /** Keys and ranges that a change of a range is held against one by one. */
  readonly scannedMax: number;
}

/** One answer may take this share of the cache, so that a few large ones do not empty it. */
const ENTRY_SHARE_MAX = 1 / 4;
/** How often entries that are too old are looked for, in milliseconds, at the most. */
const SWEEP_MS = 1000;

export class ReadCache {
  /** Grows when something of an unknown outcome has happened: what was under way then is not kept. */
  epoch = 0;
  /** The newest revision of a write acknowledged, or of an event seen, by this proxy. */
  floorRevision = 0;
  /** Reads at a revision below have nothing to read any more. */
  compactedRevision = 0;
  /** Answers that had to make room for others. */
  evictions = 0;
  /** The largest entry that is kept. */
  readonly entryBytesMax: number;
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #scannedMax: number;
  readonly #entries: LRUCache<CachedRead, Answer>;
  readonly #index = new CacheIndex();
  #sweepPlanned = false;
  /** False: something was shown that is newer than `floorRevision`, and nobody knows how much. */
  #floorKnown = true;
  readonly #drop = (entry: CachedRead): void => {
    this.#entries.delete(entry);
  };

  constructor({ clock, bytesMax, entriesMax, maxAgeMs, scannedMax }: ReadCacheOptions) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
    this.#scannedMax = scannedMax;
    this.entryBytesMax = Math.floor(bytesMax * ENTRY_SHARE_MAX);
    this.#entries = new LRUCache({
      max: entriesMax,
      maxSize: bytesMax,
      // Whatever takes an entry out, the index and its table lose it, too.
      dispose: (_answer, entry, why) => {
        if (why === "set") return;
        if (why === "evict") this.evictions++;
        this.#index.remove(entry);
        entry.table.delete(entry.text);
      },
    });
  }

  get entries(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Keys and ranges that entries depend on. */
  get keys(): number {
    return this.#index.size;
  }

  /** The answer to `text` if one may be given now. */
  find(table: CachedReadTable, text: string): Answer | null {
    const entry = table.get(text);
    if (entry === undefined) return null;
    if (this.#isTooOld(entry)) {
      this.#drop(entry);
      return null;
    }
    this.#entries.get(entry);
    return entry.answer;
  }

  /** Whether an answer at `revision`, sent for when the epoch was `epoch`, may be kept at all. */
  admits(revision: number, epoch: number): boolean {
    if (revision === UNKNOWN_REVISION || !this.#floorKnown) return false;
    return revision >= this.floorRevision && epoch === this.epoch;
  }

  /**
   * Takes note of an answer at `revision` that was sent for at `sentAtMs`, and is no newer than the one that is there.
   * Returns whether that one can be given to who asks now.
   */
  renew(entry: CachedRead, revision: number, sentAtMs: number): boolean {
    // At the same revision nothing has changed anywhere: the answer is the one that is there.
    if (entry.revision === revision && sentAtMs > entry.readAtMs) entry.readAtMs = sentAtMs;
    return !this.#isTooOld(entry);
  }

  /** Keeps an answer that it `admits`, unless it is too large. Returns whether it can be given to who asks now. */
  keep(entry: CachedRead): boolean {
    const { bytes, table, text, answer } = entry;
    if (bytes > this.entryBytesMax || this.#isTooOld(entry)) return false;
    table.set(text, entry);
    this.#index.add(entry);
    this.#entries.set(entry, answer, { size: bytes });
    this.#sweepLater();
    return true;
  }

  /** Keeps a newer answer, which it `admits`, in place of the one that an entry has. As `keep`. */
  replace(entry: CachedRead, answer: Answer, revision: number, sentAtMs: number): boolean {
    entry.answer = answer;
    entry.revision = revision;
    entry.readAtMs = sentAtMs;
    const { bytes } = entry;
    if (bytes > this.entryBytesMax || this.#isTooOld(entry)) {
      this.#drop(entry);
      return false;
    }
    this.#entries.set(entry, answer, { size: bytes });
    return true;
  }

  /**
   * A client is about to be shown a state at `revision`: nothing older is kept from here on. When that is
   * `UNKNOWN_REVISION`, nothing at all is kept until a linearizable answer has told how new the cluster is.
   */
  onShown(revision: number): void {
    this.#shown(revision);
  }

  /** A write to `range` was acknowledged at `revision`. */
  onAcknowledged(range: KeyRange, revision: number): void {
    this.#shown(revision);
    this.#dropOlder(range, revision);
  }

  /** A write to `range` was refused: it has changed nothing. */
  onRefused(range: KeyRange): void {
    this.#dropOlder(range, Number.POSITIVE_INFINITY);
  }

  /** What became of a write to `range` is not known: it may happen at any time around now. */
  onUncertain(range: KeyRange): void {
    this.epoch++;
    this.#dropOlder(range, Number.POSITIVE_INFINITY);
  }

  /** A member has told of changes. */
  onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void {
    for (const event of events) {
      const { revision } = event;
      if (revision > this.floorRevision) this.floorRevision = revision;
      if (this.#entries.size === 0) continue;
      this.#index.forEachOn(keyOf(bytes, event), (entry) => {
        if (entry.revision < revision) this.#drop(entry);
      });
    }
  }

  /** Anything may have changed: keys, or who may read them. */
  clear(): void {
    this.#clear();
  }

  /** The revisions below are compacted. */
  compacted(revision: number): void {
    if (revision > this.compactedRevision) this.compactedRevision = revision;
  }

  /**
   * A linearizable read that was sent when the epoch and the floor were these was answered at `revision`. It cannot be below,
   * unless the cluster began anew from an older state: then nothing that was known of it holds any more.
   */
  onLinearizable(revision: number, epochBefore: number, floorBefore: number): void {
    if (revision === UNKNOWN_REVISION) return;
    if (!this.#floorKnown && epochBefore === this.epoch) {
      this.#floorKnown = true;
      this.#shown(revision);
    }
    if (revision >= floorBefore) return;
    // Another read has told so already: what was written since holds.
    if (this.floorRevision < floorBefore) return;
    this.onBegunAnew(revision);
  }

  /** The cluster has begun anew from an older state, and is now at `revision`. */
  protected onBegunAnew(revision: number): void {
    this.#clear();
    this.floorRevision = revision;
    this.compactedRevision = 0;
  }

  #shown(revision: number): void {
    if (revision > this.floorRevision) this.floorRevision = revision;
    if (revision !== UNKNOWN_REVISION) return;
    this.#floorKnown = false;
    this.epoch++;
  }

  #clear(): void {
    this.epoch++;
    this.#entries.clear();
  }

  #dropOlder(range: KeyRange, revision: number): void {
    if (this.#entries.size === 0) return;
    const drop = (entry: CachedRead): void => {
      if (entry.revision < revision) this.#drop(entry);
    };
    if (range.isSingleKey) this.#index.forEachOn(range.start, drop);
    else if (this.#index.size > this.#scannedMax) this.#clear();
    else this.#index.forEachIn(range, drop);
  }

  #isTooOld({ readAtMs, askedRevision }: CachedRead): boolean {
    if (askedRevision > 0 && askedRevision < this.compactedRevision) return true;
    return this.#clock.nowMs() - readAtMs > this.#maxAgeMs;
  }

  /** Entries that nobody asks for any more give their memory back. */
  #sweepLater(): void {
    if (this.#sweepPlanned) return;
    this.#sweepPlanned = true;
    this.#clock.after(Math.max(SWEEP_MS, this.#maxAgeMs), () => {
      this.#sweepPlanned = false;
      // From the one that was used longest ago: behind the first that is young enough all were used lately.
      for (const entry of this.#entries.rkeys()) {
        if (!this.#isTooOld(entry)) break;
        this.#drop(entry);
      }
      if (this.#entries.size > 0) this.#sweepLater();
    });
  }
}
