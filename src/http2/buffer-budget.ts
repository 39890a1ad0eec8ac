/**
 * The process-wide bound on bytes that peers make us hold: queued DATA, unconsumed DATA, unread output.
 *
 * Connections report every change. When the sum passes the bound, the connection that holds most gives up
 * the stream that holds most, until the sum fits: one greedy peer pays, not its neighbours.
 */
export interface BufferHolder {
  readonly budgetedBytes: number;
  /** Resets the stream that holds most, or ends the connection when no stream holds anything. */
  shedLargest(): void;
}

/** Where nobody holds so large a part, many shed at once: looking for the largest takes time. */
const SHED_PARTS = 16;

export class BufferBudget {
  /** The bound. */
  readonly bytesMax: number;
  readonly #holders = new Set<BufferHolder>();
  #heldBytes = 0;
  #shedding = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  join(holder: BufferHolder): void {
    this.#holders.add(holder);
  }

  /** The holder has already reported everything it held as given up. */
  leave(holder: BufferHolder): void {
    this.#holders.delete(holder);
  }

  changed(bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes <= 0 || this.#heldBytes <= this.bytesMax || this.#shedding) return;
    this.#shedding = true;
    try {
      while (this.#heldBytes > this.bytesMax && this.#shedOnce());
    } finally {
      this.#shedding = false;
    }
  }

  /** Sheds of all who hold `leastBytes` or more, until no more than `goalBytes` are held. */
  #shedMany(goalBytes: number, leastBytes: number): void {
    for (const holder of this.#holders) {
      if (this.#heldBytes <= goalBytes) return;
      if (holder.budgetedBytes >= leastBytes) holder.shedLargest();
    }
  }

  /** False when shedding freed nothing. */
  #shedOnce(): boolean {
    let largest: BufferHolder | null = null;
    for (const holder of this.#holders) {
      if (largest === null || holder.budgetedBytes > largest.budgetedBytes) largest = holder;
    }
    if (largest === null) return false;
    const before = this.#heldBytes;
    const largestBytes = largest.budgetedBytes;
    largest.shedLargest();
    const partBytes = this.bytesMax / SHED_PARTS;
    if (largestBytes < partBytes) this.#shedMany(before - partBytes, largestBytes / 2);
    return this.#heldBytes < before;
  }
}
