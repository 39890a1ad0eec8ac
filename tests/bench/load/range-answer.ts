/**
 * Tells whether a RangeResponse holds a key, without making an object: it knows how etcd encodes it (fields in the
 * order of their numbers, the key first), which every proxy passes on.
 */

const HEADER = 0x0a;
const KVS = 0x12;
const KEY = 0x0a;

/** Whether the first key of the RangeResponse `bytes[start, end)` is `key`, which is shorter than 128 bytes. */
export function holdsKey(bytes: Uint8Array, start: number, end: number, key: Uint8Array): boolean {
  let at = start;
  // The header's length takes one byte: four numbers of ten bytes at most.
  if (bytes[at] === HEADER) at += 2 + bytes[at + 1]!;
  if (at >= end || bytes[at++] !== KVS) return false;
  while (bytes[at++]! >= 0x80);
  const length = key.length;
  if (at + 2 + length > end || bytes[at] !== KEY || bytes[at + 1] !== length) return false;
  at += 2;
  // The ends of keys differ more than their beginnings.
  for (let index = length - 1; index >= 0; index--) if (bytes[at + index] !== key[index]) return false;
  return true;
}
