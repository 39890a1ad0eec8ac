/**
 * A set of small numbers, for the operations that have been put in order already.
 *
 * Most of them are the oldest ones, so the text that names the set leaves its full beginning out.
 */
const WORD_BITS = 32;
const FULL_WORD = 0xffff_ffff;

export class Bitset {
  readonly #words: Uint32Array;

  /** For numbers below `limit`. */
  constructor(limit: number) {
    this.#words = new Uint32Array(Math.ceil(limit / WORD_BITS));
  }

  add(number: number): void {
    this.#words[number >>> 5]! |= 1 << (number & 31);
  }

  delete(number: number): void {
    this.#words[number >>> 5]! &= ~(1 << (number & 31));
  }

  has(number: number): boolean {
    return (this.#words[number >>> 5]! & (1 << (number & 31))) !== 0;
  }

  /** Text that equal sets, and no others, share. */
  get id(): string {
    let first = 0;
    while (this.#words[first] === FULL_WORD) first++;
    let last = this.#words.length;
    while (last > first && this.#words[last - 1] === 0) last--;
    return `${first}:${this.#words.subarray(first, last).join(",")}`;
  }
}
