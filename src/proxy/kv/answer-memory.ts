/**
 * How much memory answers take that are being gathered, or wait for callers who do not read them.
 *
 * A holder of the process's buffer budget: when that is exceeded, whoever holds most gives it up. An answer that
 * several callers wait to read counts once.
 */
import type { BufferBudget, BufferHolder } from "../../http2/buffer-budget.ts";

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
