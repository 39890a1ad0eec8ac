/**
 * Huffman-coded strings (RFC 7541 §5.2): Latin-1 text to bits and back.
 *
 * Decoding looks up the next ten bits at once, which settles every symbol that ordinary header text is
 * made of; the rare longer codes are walked bit by bit along the canonical code. Invariant: the bits
 * behind the last symbol are fewer than eight and all ones, and END_OF_STRING is never a symbol.
 */

import { HpackError } from "./hpack-error.ts";
import {
  CODE_BITS,
  CODES,
  CODES_OF_LENGTH,
  END_OF_STRING,
  FIRST_CODE_OF_LENGTH,
  FIRST_SYMBOL_OF_LENGTH,
  SYMBOLS_IN_CODE_ORDER,
} from "./huffman-code.ts";
import { latin1Octet, latin1Text } from "./latin1.ts";

const LOOKUP_BITS = 10;
const LOOKUP_MASK = (1 << LOOKUP_BITS) - 1;

/** Symbol << 4 | code length, for each ten bits that begin with a code of at most ten; else 0. */
const LOOKUP = new Uint16Array(1 << LOOKUP_BITS);
for (let symbol = 0; symbol < END_OF_STRING; symbol++) {
  const spareBits = LOOKUP_BITS - CODE_BITS[symbol]!;
  if (spareBits < 0) continue;
  const first = CODES[symbol]! << spareBits;
  LOOKUP.fill((symbol << 4) | CODE_BITS[symbol]!, first, first + (1 << spareBits));
}

/** The shortest code has five bits. */
const CODE_BITS_MIN = 5;
/** Beyond this a decoded string gets storage of its own, so that one large header is not kept for good. */
const SCRATCH_BYTES_MAX = 65_536;
const SCRATCH_BYTES_MIN = 4096;
let scratch = new Uint8Array(SCRATCH_BYTES_MIN);

/** Storage for at least `sizeBytes`; valid until the next call. */
function scratchOf(sizeBytes: number): Uint8Array {
  if (sizeBytes <= scratch.length) return scratch;
  const grown = new Uint8Array(Math.max(sizeBytes, Math.min(scratch.length * 2, SCRATCH_BYTES_MAX)));
  if (grown.length <= SCRATCH_BYTES_MAX) scratch = grown;
  return grown;
}

/**
 * Decodes the Huffman-coded string `bytes[start, end)` to Latin-1 text.
 * @throws HpackError on wrong padding or an END_OF_STRING symbol.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  const octets = scratchOf(Math.ceil(((end - start) * 8) / CODE_BITS_MIN));
  let length = 0;
  // The low `bitCount` bits of `bits` are read from the input but not decoded yet.
  let bits = 0;
  let bitCount = 0;
  let at = start;
  for (;;) {
    while (bitCount < LOOKUP_BITS && at < end) {
      bits = (bits << 8) | bytes[at++]!;
      bitCount += 8;
    }
    if (bitCount < LOOKUP_BITS) break;
    let code = (bits >>> (bitCount - LOOKUP_BITS)) & LOOKUP_MASK;
    const found = LOOKUP[code]!;
    if (found !== 0) {
      octets[length++] = found >>> 4;
      bitCount -= found & 15;
      continue;
    }
    let codeBits = LOOKUP_BITS;
    bitCount -= LOOKUP_BITS;
    let rank: number;
    do {
      if (bitCount === 0) {
        if (at === end) throw unfinished(code, codeBits);
        bits = bytes[at++]!;
        bitCount = 8;
      }
      bitCount--;
      code = (code << 1) | ((bits >>> bitCount) & 1);
      codeBits++;
      rank = code - FIRST_CODE_OF_LENGTH[codeBits]!;
    } while (rank >= CODES_OF_LENGTH[codeBits]!);
    const symbol = SYMBOLS_IN_CODE_ORDER[FIRST_SYMBOL_OF_LENGTH[codeBits]! + rank]!;
    if (symbol === END_OF_STRING) throw new HpackError("Huffman string contains the end-of-string symbol");
    octets[length++] = symbol;
  }
  // Fewer bits than one look-up are left: filled up with ones they show the last symbols.
  while (bitCount > 0) {
    const missingBits = LOOKUP_BITS - bitCount;
    const found = LOOKUP[((bits << missingBits) | ((1 << missingBits) - 1)) & LOOKUP_MASK]!;
    const codeBits = found & 15;
    if (codeBits === 0 || codeBits > bitCount) break;
    octets[length++] = found >>> 4;
    bitCount -= codeBits;
  }
  if (bitCount > 0) {
    const allOnes = (1 << bitCount) - 1;
    if (bitCount > 7 || (bits & allOnes) !== allOnes) throw unfinished(bits & allOnes, bitCount);
  }
  return latin1Text(octets, 0, length);
}

/** What is wrong with a string that ends in `bitCount` bits which are neither a symbol nor padding. */
function unfinished(bits: number, bitCount: number): HpackError {
  return new HpackError(
    bits === (1 << bitCount) - 1
      ? "Huffman string is padded with more than 7 bits"
      : "Huffman string ends inside a symbol or its padding is not all ones",
  );
}

/**
 * Writes `text` Huffman-coded into `bytes[start, end)`.
 * @returns the offset behind the last byte written, or -1 when it does not fit (some bytes are then written).
 */
export function encodeHuffman(text: string, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  let bits = 0;
  let bitCount = 0;
  for (let i = 0; i < text.length; i++) {
    const octet = latin1Octet(text, i);
    let codeBits = CODE_BITS[octet]!;
    let code = CODES[octet]!;
    if (codeBits > 24) {
      // With up to seven bits waiting, a code this long would not fit 32 bits: its top goes first.
      codeBits -= 16;
      bits = (bits << codeBits) | (code >>> 16);
      bitCount += codeBits;
      while (bitCount >= 8) {
        if (at === end) return -1;
        bitCount -= 8;
        bytes[at++] = bits >>> bitCount;
      }
      codeBits = 16;
      code &= 0xffff;
    }
    bits = (bits << codeBits) | code;
    bitCount += codeBits;
    while (bitCount >= 8) {
      if (at === end) return -1;
      bitCount -= 8;
      bytes[at++] = bits >>> bitCount;
    }
  }
  if (bitCount === 0) return at;
  if (at === end) return -1;
  bytes[at++] = (bits << (8 - bitCount)) | (0xff >>> bitCount);
  return at;
}
