/**
 * The cache of reads of one worker among several, which hears of what the others show their clients.
 *
 * Of the promises of read-cache.ts, those about writes and events hold for all workers together (architecture §4, "Reads"):
 *
 * - A worker tells of a change before it goes on, so before its client is told of it: an answer is given to the socket later.
 *   Whoever asks for an entry here first takes what is told (`find`). So a read that came after the answer to a
 *   write had left, at any worker, finds no entry that is older.
 * - The same is done before an answer is kept (`admits`): one that was asked for before the write, and comes after, is below
 *   the floor that the write has raised; one that something of unknown outcome has come upon in the meantime
 *   meets another epoch, since that grows when it is heard of, which is never before the answer was sent for. What
 *   is told after the answer was kept drops it.
 * - What was told to nobody in time, since so much else was, has everything forgotten here.
 *
 * A worker that hears late is a worker that does not look, so it gives nothing out meanwhile.
 */
import { UNKNOWN_REVISION } from "../../etcd/answer-revision.ts";
import { KeyRange } from "../../etcd/key-range.ts";
import { keyOf, type WatchEvent } from "../../etcd/watch-response.ts";
import type { Answer } from "./answer.ts";
import type { CacheNotices, NoticeReceiver } from "./cache-notices.ts";
import type { CachedReadTable } from "./cached-read.ts";
import { ReadCache, type ReadCacheOptions } from "./read-cache.ts";

/** How often a worker looks that nobody reads from, in milliseconds: so that it is not overtaken, nor holds what is old. */
const LOOK_MS = 1000;

export class SharedReadCache extends ReadCache {
  readonly #notices: CacheNotices;
  readonly #receiver: NoticeReceiver = {
    acknowledged: (range, revision) => super.onAcknowledged(range, revision),
    refused: (range) => super.onRefused(range),
    uncertain: (range) => super.onUncertain(range),
    shown: (revision) => super.onShown(revision),
    cleared: () => super.clear(),
    compacted: (revision) => super.compacted(revision),
    begunAnew: () => this.#beginAnew(),
  };

  constructor(options: ReadCacheOptions, notices: CacheNotices) {
    super(options);
    this.#notices = notices;
    const look = (): void => {
      this.#hear();
      options.clock.after(LOOK_MS, look);
    };
    look();
  }

  override find(table: CachedReadTable, text: string): Answer | null {
    this.#hear();
    return super.find(table, text);
  }

  override admits(revision: number, epoch: number): boolean {
    this.#hear();
    return super.admits(revision, epoch);
  }

  override onLinearizable(revision: number, epochBefore: number, floorBefore: number): void {
    this.#hear();
    super.onLinearizable(revision, epochBefore, floorBefore);
  }

  override onShown(revision: number): void {
    super.onShown(revision);
    this.#notices.shown(revision);
    this.#notices.announce();
  }

  override onAcknowledged(range: KeyRange, revision: number): void {
    super.onAcknowledged(range, revision);
    this.#notices.acknowledged(range, revision);
    this.#notices.announce();
  }

  override onRefused(range: KeyRange): void {
    super.onRefused(range);
    this.#notices.refused(range);
    this.#notices.announce();
  }

  override onUncertain(range: KeyRange): void {
    super.onUncertain(range);
    this.#notices.uncertain(range);
    this.#notices.announce();
  }

  override onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void {
    super.onEvents(bytes, events);
    for (const event of events) {
      this.#notices.acknowledged(KeyRange.ofKey(keyOf(bytes, event)), event.revision);
    }
    this.#notices.announce();
  }

  override clear(): void {
    super.clear();
    this.#notices.cleared();
    this.#notices.announce();
  }

  override compacted(revision: number): void {
    super.compacted(revision);
    this.#notices.compacted(revision);
    this.#notices.announce();
  }

  /** Nobody knows whether the others have been shown newer states since: the next linearizable answer tells all of them. */
  protected override onBegunAnew(): void {
    this.#beginAnew();
    this.#notices.begunAnew();
    this.#notices.announce();
  }

  #beginAnew(): void {
    super.onBegunAnew(0);
    super.onShown(UNKNOWN_REVISION);
  }

  #hear(): void {
    if (this.#notices.news) this.#notices.receive(this.#receiver);
  }
}
