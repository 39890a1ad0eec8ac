/**
 * A map whose keys are half-open intervals of byte strings, with questions about what lies in what.
 *
 * Byte strings are texts of one character for each byte; an end of null lies behind all of them. An interval
 * [key, key + "\0") holds a single key: those are looked up in a plain map, beside a tree of their own
 * for questions about what lies inside, so that they never lengthen the way through the tree of ranges.
 *
 * Changing the map from within a visit or an iteration is allowed: it goes on over what was there at first.
 */
import {
  covering,
  found,
  inserted,
  type IntervalNode,
  nodesOf,
  removed,
  visitContaining,
  visitInside,
} from "./interval-tree.ts";

/** An interval [start, end) and its value. */
export interface IntervalEntry<Value> {
  readonly start: string;
  readonly end: string | null;
  readonly value: Value;
}

export class IntervalMap<Value> implements Iterable<IntervalEntry<Value>> {
  #ranges: IntervalNode<Value> | null = null;
  #rangesSize = 0;
  #singleKeys: IntervalNode<Value> | null = null;
  /** The values of `#singleKeys`, by key. */
  readonly #valueOfKey = new Map<string, { readonly value: Value }>();

  /** Number of intervals. */
  get size(): number {
    return this.#rangesSize + this.#valueOfKey.size;
  }

  /** Gives [start, end) the value, in place of any it had. Throws RangeError for an empty interval. */
  set(start: string, end: string | null, value: Value): void {
    if (end !== null && start >= end) throw new RangeError("an interval must not be empty");
    if (isSingleKey(start, end)) {
      this.#valueOfKey.set(start, { value });
      this.#singleKeys = inserted(this.#singleKeys, start, end, value);
    } else {
      if (found(this.#ranges, start, end) === null) this.#rangesSize++;
      this.#ranges = inserted(this.#ranges, start, end, value);
    }
  }

  /** The value of exactly [start, end). */
  get(start: string, end: string | null): Value | undefined {
    return isSingleKey(start, end)
      ? this.#valueOfKey.get(start)?.value
      : found(this.#ranges, start, end)?.value;
  }

  /** Returns false when [start, end) was not in the map. */
  delete(start: string, end: string | null): boolean {
    if (isSingleKey(start, end)) {
      if (!this.#valueOfKey.delete(start)) return false;
      this.#singleKeys = removed(this.#singleKeys, start, end);
      return true;
    }
    const ranges = removed(this.#ranges, start, end);
    if (ranges === this.#ranges) return false;
    this.#ranges = ranges;
    this.#rangesSize--;
    return true;
  }

  /** Visits every interval that `key` lies in: ranges by start, the widest first, then the key alone. */
  forEachContaining(key: string, visit: (value: Value) => void): void {
    const single = this.#valueOfKey.get(key);
    if (this.#ranges !== null) visitContaining(this.#ranges, key, visit);
    if (single !== undefined) visit(single.value);
  }

  /**
   * The value of an interval that contains all of [start, end), which must not be empty; of several, the one
   * that starts first, and of those the one that ends last.
   */
  findCovering(start: string, end: string | null): Value | undefined {
    const range = covering(this.#ranges, start, end);
    if (range !== null) return range.value;
    return isSingleKey(start, end) ? this.#valueOfKey.get(start)?.value : undefined;
  }

  /** Visits every interval that lies in [start, end): ranges by start, then single keys by key. */
  forEachInside(start: string, end: string | null, visit: (value: Value) => void): void {
    const singleKeys = this.#singleKeys;
    visitInside(this.#ranges, start, end, visit);
    visitInside(singleKeys, start, end, visit);
  }

  /** Ranges by start, the widest first, then single keys by key. */
  *[Symbol.iterator](): Generator<IntervalEntry<Value>, void> {
    const singleKeys = this.#singleKeys;
    yield* nodesOf(this.#ranges);
    yield* nodesOf(singleKeys);
  }
}

function isSingleKey(start: string, end: string | null): end is string {
  return end !== null && end.length === start.length + 1 && end === `${start}\0`;
}
