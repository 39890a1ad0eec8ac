/**
 * Random numbers that are the same in every run with the same seed (Marsaglia's xorshift with 32 bits of state):
 * all contenders get the same calls in the same order.
 */
export class SeededRandom {
  #state: number;

  /** @param seed any whole number; 0 counts as 1, which the generator needs. */
  constructor(seed: number) {
    this.#state = seed | 0 || 1;
    // Small seeds begin with small numbers.
    for (let index = 0; index < 16; index++) this.next();
  }

  /** From 0 on, less than 1. */
  next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) / 2 ** 32;
  }
}
