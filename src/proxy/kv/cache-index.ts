/**
 * The cached reads by the keys that they depend on: what a write, or an event, makes old.
 *
 * It holds exactly the entries that the cache holds. Reads of one key, which most are, hang on a plain map; only
 * those of ranges are in a tree.
 */
import { IntervalMap } from "../../base/interval-map.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { CachedRead } from "./cached-read.ts";

export class CacheIndex {
  /** The first entry of each key; the others follow it. */
  readonly #ofKey = new Map<string, CachedRead>();
  readonly #ofRange = new IntervalMap<Set<CachedRead>>();

  /** Number of keys and ranges. */
  get size(): number {
    return this.#ofKey.size + this.#ofRange.size;
  }

  add(entry: CachedRead): void {
    const { start, end, isSingleKey } = entry.range;
    if (isSingleKey) {
      const first = this.#ofKey.get(start);
      if (first !== undefined) {
        entry.nextOfKey = first;
        first.previousOfKey = entry;
      }
      this.#ofKey.set(start, entry);
      return;
    }
    const others = this.#ofRange.get(start, end);
    if (others === undefined) this.#ofRange.set(start, end, new Set([entry]));
    else others.add(entry);
  }

  remove(entry: CachedRead): void {
    const { start, end, isSingleKey } = entry.range;
    if (isSingleKey) {
      const { previousOfKey, nextOfKey } = entry;
      if (nextOfKey !== null) nextOfKey.previousOfKey = previousOfKey;
      if (previousOfKey !== null) previousOfKey.nextOfKey = nextOfKey;
      else if (nextOfKey !== null) this.#ofKey.set(start, nextOfKey);
      else this.#ofKey.delete(start);
      entry.previousOfKey = null;
      entry.nextOfKey = null;
      return;
    }
    const entries = this.#ofRange.get(start, end);
    if (entries === undefined) return;
    entries.delete(entry);
    if (entries.size === 0) this.#ofRange.delete(start, end);
  }

  /** Visits every entry that depends on `key`; entries may be removed meanwhile. */
  forEachOn(key: string, visit: (entry: CachedRead) => void): void {
    let entry = this.#ofKey.get(key) ?? null;
    while (entry !== null) {
      const next: CachedRead | null = entry.nextOfKey;
      visit(entry);
      entry = next;
    }
    if (this.#ofRange.size === 0) return;
    this.#ofRange.forEachContaining(key, (entries) => {
      for (const each of entries) visit(each);
    });
  }

  /** Visits every entry that depends on any key of `range`: looks at all of them. */
  forEachIn(range: KeyRange, visit: (entry: CachedRead) => void): void {
    for (const [key, first] of this.#ofKey) {
      if (!range.contains(key)) continue;
      let entry: CachedRead | null = first;
      while (entry !== null) {
        const next: CachedRead | null = entry.nextOfKey;
        visit(entry);
        entry = next;
      }
    }
    for (const { value: entries } of this.#ofRange) {
      for (const entry of entries) if (range.meets(entry.range)) visit(entry);
    }
  }
}
