/**
 * How much memory answers of members take: those that are being gathered, that wait for callers who do not read them, or
 * that are kept for who comes late.
 *
 * A holder of the process's buffer budget: when that is exceeded, whoever holds most gives it up. An answer that
 * several callers wait to read counts once.
 */
import type { BufferBudget, BufferHolder } from "../http2/buffer-budget.ts";

/** Something that holds an answer, or a part of one. */
export interface AnswerHolder {
  readonly heldBytes: number;
  /** Gives it up, and says so by `changed`. */
  giveUp(): void;
}

export class AnswerMemory implements BufferHolder {
  budgetedBytes = 0;
  readonly #budget: BufferBudget | undefined;
  readonly #holders = new Set<AnswerHolder>();

  constructor(budget: BufferBudget | undefined) {
    this.#budget = budget;
    budget?.join(this);
  }

  /** `holder` holds `bytes` more bytes than it did. It may be given up before this returns. */
  changed(holder: AnswerHolder, bytes: number): void {
    if (holder.heldBytes > 0) this.#holders.add(holder);
    else this.#holders.delete(holder);
    this.budgetedBytes += bytes;
    this.#budget?.changed(bytes);
  }

  shedLargest(): void {
    let largest: AnswerHolder | null = null;
    for (const holder of this.#holders) {
      if (largest === null || holder.heldBytes > largest.heldBytes) largest = holder;
    }
    largest?.giveUp();
  }
}

/** A part of an answer whose size changes, and what to do when its memory is needed. */
export class HeldAnswer implements AnswerHolder {
  heldBytes = 0;
  readonly #memory: AnswerMemory | undefined;
  readonly #onGiveUp: () => void;

  /** Nothing is counted without a `memory`. `onGiveUp` gives it up, and says so by `holds`. */
  constructor(memory: AnswerMemory | undefined, onGiveUp: () => void) {
    this.#memory = memory;
    this.#onGiveUp = onGiveUp;
  }

  /** It takes `bytes` bytes now. It may be given up before this returns. */
  holds(bytes: number): void {
    const change = bytes - this.heldBytes;
    if (change === 0) return;
    this.heldBytes = bytes;
    this.#memory?.changed(this, change);
  }

  giveUp(): void {
    this.#onGiveUp();
  }
}
