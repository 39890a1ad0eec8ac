/**
 * A range of etcd's keys, [start, end), as requests mean it (etcd API, `key` and `range_end` of WatchCreateRequest,
 * RangeRequest and DeleteRangeRequest).
 *
 * Keys are Latin-1 text, one character for each byte, so that comparing texts compares bytes. Whatever way a
 * request writes a range, the same keys give equal ranges: a single key is [key, key + "\0"), "from key" has
 * no end. Never empty.
 */
import { latin1Text } from "../hpack/latin1.ts";

const NO_BYTES = new Uint8Array(0);
const ZERO_BYTE = Uint8Array.of(0);
const SMALLEST_KEY = "\0";

/** Keys from `start` up to, and without, `end`. */
export class KeyRange {
  readonly start: string;
  /** The first key behind the range; null when no key is behind it. */
  readonly end: string | null;
  readonly isSingleKey: boolean;

  private constructor(start: string, end: string | null, isSingleKey: boolean) {
    this.start = start;
    this.end = end;
    this.isSingleKey = isSingleKey;
  }

  /** Text that equal ranges, and no others, share: a key for maps. */
  get id(): string {
    // An end is never "", so that the length of the start tells all three parts.
    return `${this.start.length}:${this.start}${this.end ?? ""}`;
  }

  /**
   * The range that a watch on `key` and `rangeEnd` has, or null when it is empty, which etcd refuses. As in
   * etcd, an empty key is the smallest one, "\0", with every kind of range end.
   */
  static of(key: Uint8Array, rangeEnd: Uint8Array): KeyRange | null {
    return KeyRange.#between(latin1Text(key, 0, key.length), latin1Text(rangeEnd, 0, rangeEnd.length));
  }

  /** The range of `bytes[keyStart, keyEnd)` and `bytes[rangeEndStart, rangeEndEnd)`, as `of` does. */
  static ofPieces(
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    rangeEndStart: number,
    rangeEndEnd: number,
  ): KeyRange | null {
    return KeyRange.#between(
      latin1Text(bytes, keyStart, keyEnd),
      latin1Text(bytes, rangeEndStart, rangeEndEnd),
    );
  }

  /** The range of one key, which is not empty, one character for each byte. */
  static ofKey(key: string): KeyRange {
    return new KeyRange(key, `${key}\0`, true);
  }

  static #between(key: string, rangeEnd: string): KeyRange | null {
    const start = key === "" ? SMALLEST_KEY : key;
    if (rangeEnd === "") return new KeyRange(start, `${start}\0`, true);
    if (rangeEnd === "\0") return new KeyRange(start, null, false);
    if (start >= rangeEnd) return null;
    return new KeyRange(start, rangeEnd, rangeEnd.length === start.length + 1 && rangeEnd === `${start}\0`);
  }

  /** True when `key` (one character for each byte) lies in the range. */
  contains(key: string): boolean {
    return this.start <= key && (this.end === null || key < this.end);
  }

  /** True when every key of `other` lies in this range. */
  covers(other: KeyRange): boolean {
    return this.start <= other.start && (this.end === null || (other.end !== null && other.end <= this.end));
  }

  /** True when some key lies in both ranges. */
  meets(other: KeyRange): boolean {
    return (this.end === null || other.start < this.end) && (other.end === null || this.start < other.end);
  }

  equals(other: KeyRange): boolean {
    return this.start === other.start && this.end === other.end;
  }

  /** The fields of a WatchCreateRequest that mean this range. */
  toRequest(): { key: Uint8Array; rangeEnd: Uint8Array } {
    return { key: Buffer.from(this.start, "latin1"), rangeEnd: this.#rangeEnd() };
  }

  #rangeEnd(): Uint8Array {
    if (this.isSingleKey) return NO_BYTES;
    return this.end === null ? ZERO_BYTE : Buffer.from(this.end, "latin1");
  }
}
