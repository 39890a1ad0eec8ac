/**
 * Header blocks decoded lately, by their bytes: a gRPC peer repeats the same few blocks for every call.
 *
 * A block's meaning depends on the dynamic table, so what is kept holds only while the table does not
 * change: the decoder clears it with every insertion and size update, and offers no block that made one.
 * Bounded to 8 blocks of 256 bytes; storage is made as it is needed.
 */

import type { HeaderField } from "./header-field.ts";

const BLOCKS_MAX = 8;
const BLOCK_BYTES_MAX = 256;
const KEY_BYTES_MIN = 32;

const NO_FIELDS: readonly HeaderField[] = [];

/** One remembered block: its bytes and what they decode to. */
export class DecodedBlock {
  /** The block's bytes are key[0, keyBytes). */
  key = new Uint8Array(KEY_BYTES_MIN);
  keyBytes = 0;
  fields = NO_FIELDS;
  /** Size of the fields as RFC 9113 §6.5.2 counts it. */
  listBytes = 0;
}

export class DecodedBlockCache {
  readonly #blocks: DecodedBlock[] = [];
  /** Blocks in use, from the front of #blocks. */
  #length = 0;
  /** The slot that is overwritten next. */
  #next = 0;

  /** The remembered block equal to `bytes[start, end)`. */
  find(bytes: Uint8Array, start: number, end: number): DecodedBlock | undefined {
    const keyBytes = end - start;
    search: for (let slot = 0; slot < this.#length; slot++) {
      const block = this.#blocks[slot]!;
      if (block.keyBytes !== keyBytes) continue;
      const { key } = block;
      // Backwards: blocks of one peer begin alike (method, scheme, path) and differ towards their end.
      for (let i = keyBytes - 1; i >= 0; i--) {
        if (key[i] !== bytes[start + i]) continue search;
      }
      return block;
    }
    return undefined;
  }

  /** Remembers what `bytes[start, end)` decodes to, in place of the oldest; a long block is not kept. */
  store(
    bytes: Uint8Array,
    start: number,
    end: number,
    fields: readonly HeaderField[],
    listBytes: number,
  ): void {
    const keyBytes = end - start;
    if (keyBytes > BLOCK_BYTES_MAX) return;
    const slot = this.#next;
    this.#next = (slot + 1) % BLOCKS_MAX;
    if (slot === this.#length) this.#length++;
    const block = (this.#blocks[slot] ??= new DecodedBlock());
    if (block.key.length < keyBytes) block.key = new Uint8Array(BLOCK_BYTES_MAX);
    const { key } = block;
    for (let i = 0; i < keyBytes; i++) key[i] = bytes[start + i]!;
    block.keyBytes = keyBytes;
    block.fields = fields;
    block.listBytes = listBytes;
  }

  /** Forgets all: the dynamic table has changed. */
  clear(): void {
    for (let slot = 0; slot < this.#length; slot++) this.#blocks[slot]!.fields = NO_FIELDS;
    this.#length = 0;
    this.#next = 0;
  }
}
