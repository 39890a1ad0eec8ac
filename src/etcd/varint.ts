/**
 * Writes an int64 as protobuf's varint: seven bits a byte, least significant first, negative numbers in ten bytes
 * as two's complement.
 *
 * Any safe integer may be given as a number; what is beyond needs a bigint, which costs far more.
 */

const ONE_BYTE_MAX = 0x7f;
const BYTES_MAX = 10;

/** Length of the varint of `value`. */
export function varintBytes(value: number | bigint): number {
  if (value < 0) return BYTES_MAX;
  if (typeof value === "bigint") {
    let size = 1;
    for (let rest = value >> 7n; rest > 0n; rest >>= 7n) size++;
    return size;
  }
  let size = 1;
  for (let limit = 128; value >= limit; limit *= 128) size++;
  return size;
}

/** Stores the varint of `value` from `at` on. Returns the place behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number | bigint): number {
  if (typeof value === "bigint") return writeBigVarint(bytes, at, BigInt.asUintN(64, value));
  if (value < 0) return writeNegativeVarint(bytes, at, value);
  let next = at;
  let rest = value;
  // Above 32 bits by division, below by shifts.
  while (rest > 0xffff_ffff) {
    bytes[next++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest > ONE_BYTE_MAX) {
    bytes[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[next++] = rest;
  return next;
}

/** Two's complement: the bits of -value - 1, each turned over. */
function writeNegativeVarint(bytes: Uint8Array, at: number, value: number): number {
  let next = at;
  let rest = -(value + 1);
  while (next < at + BYTES_MAX - 1) {
    bytes[next++] = (~(rest % 128) & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[next++] = 1;
  return next;
}

function writeBigVarint(bytes: Uint8Array, at: number, value: bigint): number {
  let next = at;
  let rest = value;
  while (rest > 0x7fn) {
    bytes[next++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  bytes[next++] = Number(rest);
  return next;
}
