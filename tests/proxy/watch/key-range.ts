/**
 * Ranges of keys as etcd's requests spell them, for models: keys are ASCII texts, so texts compare as their bytes do.
 */
export interface KeyRange {
  readonly key: string;
  /** First key beyond the range; undefined: there is none. */
  readonly end: string | undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function toBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

export function toText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The range that `key` and `range_end` of a request mean; undefined when there is no key in it. */
export function requestedRange(key: string, rangeEnd: string): KeyRange | undefined {
  const start = key === "" ? "\0" : key;
  if (rangeEnd === "") return { key: start, end: `${start}\0` };
  if (rangeEnd === "\0") return { key: start, end: undefined };
  return start < rangeEnd ? { key: start, end: rangeEnd } : undefined;
}

export function holdsKey(range: KeyRange, key: string): boolean {
  return key >= range.key && (range.end === undefined || key < range.end);
}

/** True when every key of `inner` is in `outer`. */
export function covers(outer: KeyRange, inner: KeyRange): boolean {
  if (inner.key < outer.key) return false;
  return outer.end === undefined || (inner.end !== undefined && inner.end <= outer.end);
}

/** The ranges that lie in no other one, each once. */
export function maximalRanges(ranges: readonly KeyRange[]): KeyRange[] {
  return ranges.filter((range, at) =>
    ranges.every(
      (other, otherAt) => otherAt === at || !covers(other, range) || (covers(range, other) && otherAt > at),
    ),
  );
}
