/**
 * The Huffman code of RFC 7541 Appendix B, kept as its code lengths alone.
 *
 * The code is canonical: codes of one length are consecutive in the order of their symbols, and the
 * first of each length continues where the shorter ones ended. So the lengths are the whole table, and
 * both the encoder's and the decoder's tables are computed from them once.
 */

/** The end-of-string symbol: only ever seen as padding (§5.2). */
export const END_OF_STRING = 256;

export const CODE_BITS_MAX = 30;

/** Bits of each symbol's code: octets 0..255, then END_OF_STRING. */
export const CODE_BITS = Uint8Array.from(
  `
  13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28
  28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
  6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
  5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
  13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7
  7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
  15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5
  6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
  20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23
  24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
  22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23
  21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
  26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25
  19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
  20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
  26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
  30`
    .trim()
    .split(/\s+/),
  Number,
);

/** How many codes have each length. */
export const CODES_OF_LENGTH = new Int32Array(CODE_BITS_MAX + 1);
for (const bits of CODE_BITS) CODES_OF_LENGTH[bits]!++;

/** The first code of each length. */
export const FIRST_CODE_OF_LENGTH = new Int32Array(CODE_BITS_MAX + 1);
/** Where the symbols of each length begin in SYMBOLS_IN_CODE_ORDER. */
export const FIRST_SYMBOL_OF_LENGTH = new Int32Array(CODE_BITS_MAX + 1);
for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
  const shorter = CODES_OF_LENGTH[bits - 1]!;
  FIRST_CODE_OF_LENGTH[bits] = (FIRST_CODE_OF_LENGTH[bits - 1]! + shorter) << 1;
  FIRST_SYMBOL_OF_LENGTH[bits] = FIRST_SYMBOL_OF_LENGTH[bits - 1]! + shorter;
}

/** Each symbol's code, right-aligned. */
export const CODES = new Int32Array(CODE_BITS.length);
export const SYMBOLS_IN_CODE_ORDER = new Uint16Array(CODE_BITS.length);
const assigned = new Int32Array(CODE_BITS_MAX + 1);
for (let symbol = 0; symbol < CODE_BITS.length; symbol++) {
  const bits = CODE_BITS[symbol]!;
  const rank = assigned[bits]!++;
  CODES[symbol] = FIRST_CODE_OF_LENGTH[bits]! + rank;
  SYMBOLS_IN_CODE_ORDER[FIRST_SYMBOL_OF_LENGTH[bits]! + rank] = symbol;
}
