/**
 * Storage blocks shared by every connection's output.
 *
 * A connection borrows a block while it has bytes to write and gives it back once the socket has taken
 * them, so ten thousand idle connections hold no output storage at all.
 */

/** Size of a pooled block, in bytes: a few hundred small answers, or four full DATA frames. */
export const POOLED_BLOCK_BYTES = 64 * 1024;

/** Blocks kept for reuse at most (4 MiB); more are left to the garbage collector. */
const BLOCKS_KEPT_MAX = 64;

const free: Uint8Array[] = [];

/** A block of `POOLED_BLOCK_BYTES` whose content is undefined. */
export function takeBlock(): Uint8Array {
  return free.pop() ?? new Uint8Array(POOLED_BLOCK_BYTES);
}

/** Gives a block back; blocks of another size are dropped. The caller must not touch it afterwards. */
export function returnBlock(block: Uint8Array): void {
  if (block.length === POOLED_BLOCK_BYTES && free.length < BLOCKS_KEPT_MAX) free.push(block);
}
