/**
 * String literals (RFC 7541 §5.2): a Huffman bit, a length, then the octets raw or Huffman-coded.
 *
 * Strings are Latin-1 text, one UTF-16 unit an octet. The encoder takes whichever form is shorter, so a
 * literal never takes more than INTEGER_BYTES_MAX bytes above its text.
 */

import type { BlockCursor } from "./block-cursor.ts";
import { HpackError } from "./hpack-error.ts";
import { decodeHuffman, encodeHuffman } from "./huffman.ts";
import { decodeInteger, encodeInteger } from "./integer.ts";
import { latin1Octet, latin1Text } from "./latin1.ts";

const HUFFMAN = 0x80;
const LENGTH_PREFIX_MAX = 0x7f;

/**
 * Reads the string literal at the cursor, and moves the cursor behind it.
 * @throws HpackError when it is truncated or its Huffman code is malformed.
 */
export function decodeString(cursor: BlockCursor): string {
  const first = cursor.at;
  const length = decodeInteger(cursor, LENGTH_PREFIX_MAX);
  const { bytes, at: start } = cursor;
  const end = start + length;
  if (end > cursor.end) throw new HpackError(`string of ${length} octets reaches beyond its header block`);
  cursor.at = end;
  return bytes[first]! >= HUFFMAN ? decodeHuffman(bytes, start, end) : latin1Text(bytes, start, end);
}

/**
 * Writes `text` at `bytes[at]`. The caller has made room for INTEGER_BYTES_MAX + text.length bytes.
 * @returns the offset behind the literal.
 */
export function encodeString(text: string, bytes: Uint8Array, at: number): number {
  const length = text.length;
  const rawStart = encodeInteger(bytes, at, 0, LENGTH_PREFIX_MAX, length);
  if (length === 0) return rawStart;
  // Tried in place rather than measured first: the code is nearly always shorter than the text.
  const end = encodeHuffman(text, bytes, rawStart, rawStart + length - 1);
  if (end === -1) return writeRaw(text, bytes, rawStart);
  const start = encodeInteger(bytes, at, HUFFMAN, LENGTH_PREFIX_MAX, end - rawStart);
  // A smaller length may take fewer bytes itself, as 120 does where the text had 150.
  if (start !== rawStart) bytes.copyWithin(start, rawStart, end);
  return end - rawStart + start;
}

function writeRaw(text: string, bytes: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) bytes[at++] = latin1Octet(text, i);
  return at;
}
