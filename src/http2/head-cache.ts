/**
 * Remembers what was read out of the last few header sections.
 *
 * The header decoder returns the same array for a repeated block, so a peer that sends the same header
 * section with each call has it checked and read once. Keyed by the array's identity: precondition is that
 * nobody changes a decoded section.
 */
import type { HeaderField } from "../hpack/header-field.ts";

const ENTRIES_MAX = 8;

export class HeadCache<Head> {
  readonly #read: (fields: readonly HeaderField[]) => Head;
  readonly #keys: (readonly HeaderField[])[] = [];
  readonly #heads: Head[] = [];
  #next = 0;

  constructor(read: (fields: readonly HeaderField[]) => Head) {
    this.#read = read;
  }

  get(fields: readonly HeaderField[]): Head {
    const found = this.#keys.indexOf(fields);
    if (found >= 0) return this.#heads[found]!;
    const head = this.#read(fields);
    this.#keys[this.#next] = fields;
    this.#heads[this.#next] = head;
    this.#next = (this.#next + 1) % ENTRIES_MAX;
    return head;
  }
}
