/**
 * A key or a range of keys, as requests name them: `key` alone, or all from `key` up to and without `rangeEnd`.
 *
 * Keys are Latin-1 text, one character for each byte, so that comparing texts compares bytes.
 */

/** As a range's end: no end. */
const NO_END = "\0";
const LAST_BYTE = 0xff;

export interface KeySpan {
  readonly key: string;
  /** By the rules of RangeRequest; absent: the key alone. */
  readonly rangeEnd?: string;
}

/** All keys there are. */
export const EVERY_KEY: KeySpan = { key: "\0", rangeEnd: NO_END };

/** All keys that begin with `prefix`, as etcd's clients ask for them: bytes 0xff at its end have no successor. */
export function withPrefix(prefix: string): KeySpan {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix.charCodeAt(length - 1);
    if (last < LAST_BYTE) {
      return { key: prefix, rangeEnd: prefix.slice(0, length - 1) + String.fromCharCode(last + 1) };
    }
  }
  return { key: prefix, rangeEnd: NO_END };
}

export function spans({ key, rangeEnd }: KeySpan, candidate: string): boolean {
  if (rangeEnd === undefined) return candidate === key;
  return candidate >= key && (rangeEnd === NO_END || candidate < rangeEnd);
}

/** For a failure: the key, or both bounds. */
export function describeSpan({ key, rangeEnd }: KeySpan): string {
  if (rangeEnd === undefined) return JSON.stringify(key);
  return `[${JSON.stringify(key)}, ${rangeEnd === NO_END ? "no end" : JSON.stringify(rangeEnd)})`;
}
