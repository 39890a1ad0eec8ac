/**
 * Field lists encoded lately, by the identity of their array: a server sends the same headers and
 * trailers objects for every call.
 *
 * What is kept holds only while the encoder's dynamic table does not change: the encoder clears it with
 * every insertion and resize. A list is kept when it comes a second time; lists made anew for each call
 * only pass through the candidates and push nothing out. Bounded to 8 lists of 256 bytes and 8 candidates.
 */

import type { HeaderField } from "./header-field.ts";

const LISTS_MAX = 8;
const LIST_BYTES_MAX = 256;
const CANDIDATES_MAX = 8;

type FieldList = readonly HeaderField[];

/** One remembered list and its encoding. */
export interface EncodedList {
  readonly fields: FieldList;
  readonly bytes: Uint8Array;
}

export class EncodedListCache {
  readonly #lists: EncodedList[] = [];
  readonly #candidates: FieldList[] = [];
  /** The slots that are overwritten next. */
  #nextList = 0;
  #nextCandidate = 0;

  find(fields: FieldList): EncodedList | undefined {
    const lists = this.#lists;
    for (let slot = 0; slot < lists.length; slot++) {
      const list = lists[slot]!;
      if (list.fields === fields) return list;
    }
    return undefined;
  }

  /** Says whether this list came before, and remembers that it came. */
  cameBefore(fields: FieldList): boolean {
    const candidates = this.#candidates;
    for (let slot = 0; slot < candidates.length; slot++) {
      if (candidates[slot] === fields) return true;
    }
    candidates[this.#nextCandidate] = fields;
    this.#nextCandidate = (this.#nextCandidate + 1) % CANDIDATES_MAX;
    return false;
  }

  /** Remembers that the list's encoding is `bytes[start, end)`, in place of the oldest; a long one is not kept. */
  store(fields: FieldList, bytes: Uint8Array, start: number, end: number): void {
    if (end - start > LIST_BYTES_MAX) return;
    this.#lists[this.#nextList] = { fields, bytes: bytes.slice(start, end) };
    this.#nextList = (this.#nextList + 1) % LISTS_MAX;
  }

  /** Forgets all encodings: the dynamic table has changed. */
  clear(): void {
    this.#lists.length = 0;
    this.#nextList = 0;
  }
}
