/**
 * Integers with a prefix (RFC 7541 §5.1): the low bits of a first octet, then seven bits an octet.
 *
 * `prefixMax` is 2^N - 1 for a prefix of N bits: the mask of the prefix and, at once, the value that
 * says "more octets follow". A peer may write an integer as long as it likes, so decoding is bounded:
 * nothing above 2^31 - 1 and no more than five continuation octets, which hold any such value.
 */

import type { BlockCursor } from "./block-cursor.ts";
import { HpackError } from "./hpack-error.ts";

/** The largest integer accepted; the RFC leaves the limit to the implementation. */
export const INTEGER_MAX = 0x7fff_ffff;

/** The most octets an encoded integer takes, its prefix octet included. */
export const INTEGER_BYTES_MAX = 6;

const CONTINUATION_SHIFT_MAX = 28;

/**
 * Reads an integer whose prefix is in the octet at the cursor, and moves the cursor behind it.
 * @throws HpackError when it is truncated, too long or above INTEGER_MAX.
 */
export function decodeInteger(cursor: BlockCursor, prefixMax: number): number {
  if (cursor.at >= cursor.end) throw new HpackError("header block ends where an integer should start");
  const prefix = cursor.bytes[cursor.at++]! & prefixMax;
  return prefix < prefixMax ? prefix : decodeContinuation(cursor, prefixMax);
}

function decodeContinuation(cursor: BlockCursor, prefixMax: number): number {
  let value = prefixMax;
  for (let shift = 0; shift <= CONTINUATION_SHIFT_MAX; shift += 7) {
    if (cursor.at >= cursor.end) throw new HpackError("header block ends inside an integer");
    const octet = cursor.bytes[cursor.at++]!;
    // Multiplied, as the fifth octet reaches beyond 32 bits and must show as too large, not wrap.
    value += (octet & 0x7f) * (1 << shift);
    if (value > INTEGER_MAX) throw new HpackError("integer is above 2147483647");
    if (octet < 0x80) return value;
  }
  throw new HpackError("integer has more than 5 continuation octets");
}

/**
 * Writes `value` (0..INTEGER_MAX) at `bytes[at]` with the representation's bits `flags` above the
 * prefix. The caller has made room for INTEGER_BYTES_MAX bytes.
 * @returns the offset behind the integer.
 */
export function encodeInteger(
  bytes: Uint8Array,
  at: number,
  flags: number,
  prefixMax: number,
  value: number,
): number {
  if (value < prefixMax) {
    bytes[at] = flags | value;
    return at + 1;
  }
  bytes[at++] = flags | prefixMax;
  let rest = value - prefixMax;
  while (rest >= 0x80) {
    bytes[at++] = 0x80 | (rest & 0x7f);
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}
