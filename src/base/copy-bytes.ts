/**
 * Bytes with storage of their own.
 *
 * Sockets hand out Buffers, and `slice` of a Buffer copies nothing: it is a view that keeps the whole chunk alive.
 * Measured on Bun 1.4.5: storing one by one is the fastest way up to about a hundred bytes, `set` beyond.
 */

const STORED_ONE_BY_ONE_MAX = 96;

/** A copy of `bytes[start, end)`, which keeps nothing else alive. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  if (copy.length > STORED_ONE_BY_ONE_MAX) copy.set(bytes.subarray(start, end));
  else for (let i = 0; i < copy.length; i++) copy[i] = bytes[start + i]!;
  return copy;
}
