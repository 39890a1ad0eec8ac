/**
 * A growing run of bytes that encoders append to: header blocks, frames, a connection's output.
 *
 * Encoders call `reserve(n)` once and then store into `bytes` at `length` themselves, so that a hot
 * path pays for one bounds decision instead of one a byte. Storage starts empty: an idle connection
 * holds none.
 */

import { POOLED_BLOCK_BYTES, returnBlock, takeBlock } from "./buffer-pool.ts";

const EMPTY = new Uint8Array(0);
const CAPACITY_MIN = 256;

export class ByteWriter {
  /** Storage; only `[0, length)` has been written. Replaced when it grows: never keep a reference. */
  bytes: Uint8Array = EMPTY;
  /** Bytes written so far. */
  length = 0;
  readonly #pooled: boolean;

  /** `pooled`: take storage from the shared pool; the owner calls `release` whenever it is drained. */
  constructor(options?: { pooled: boolean }) {
    this.#pooled = options?.pooled ?? false;
  }

  /** Makes room for `extraBytes` more bytes behind `length`. */
  reserve(extraBytes: number): void {
    const needed = this.length + extraBytes;
    if (needed <= this.bytes.length) return;
    if (this.#pooled && needed <= POOLED_BLOCK_BYTES) {
      const block = takeBlock();
      if (this.length > 0) block.set(this.bytes.subarray(0, this.length));
      this.bytes = block;
      return;
    }
    const grown = new Uint8Array(Math.max(CAPACITY_MIN, needed, this.bytes.length * 2));
    if (this.length > 0) grown.set(this.bytes.subarray(0, this.length));
    if (this.#pooled) returnBlock(this.bytes);
    this.bytes = grown;
  }

  /** Forgets the content and gives the storage back. */
  release(): void {
    if (this.#pooled) returnBlock(this.bytes);
    this.bytes = EMPTY;
    this.length = 0;
  }

  writeByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** Appends `value` as four bytes, most significant first. */
  writeUint32(value: number): void {
    this.reserve(4);
    const bytes = this.bytes;
    let at = this.length;
    bytes[at++] = value >>> 24;
    bytes[at++] = value >>> 16;
    bytes[at++] = value >>> 8;
    bytes[at++] = value;
    this.length = at;
  }

  /** Appends a copy of `source[start, end)`. */
  write(source: Uint8Array, start = 0, end = source.length): void {
    const size = end - start;
    this.reserve(size);
    if (size <= 48) {
      // A short copy by hand costs less than the view that `set` would need.
      const bytes = this.bytes;
      let at = this.length;
      for (let i = start; i < end; i++) bytes[at++] = source[i]!;
    } else {
      this.bytes.set(size === source.length ? source : source.subarray(start, end), this.length);
    }
    this.length += size;
  }

  /** Forgets the content, keeps the storage. */
  clear(): void {
    this.length = 0;
  }

  /** Drops the first `bytes` bytes and moves the rest to the front. */
  discard(bytes: number): void {
    if (bytes < this.length) this.bytes.copyWithin(0, bytes, this.length);
    this.length -= bytes;
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}
