/**
 * How much memory the clients' queues hold, each body counted once however many queues it waits in.
 *
 * A holder of the process's buffer budget: when that is exceeded, the queue that holds most gives its events back
 * and its watches lag. Nobody's stream is reset for it.
 */
import type { BufferBudget, BufferHolder } from "../../http2/buffer-budget.ts";
import type { EventsBody } from "./events-body.ts";

/** A queue that can give its events back. */
export interface Shedding {
  /** Makes the watches lag that have most waiting; false when nothing waits anywhere. */
  shedLargestQueue(): boolean;
}

export class HeldBodies implements BufferHolder {
  budgetedBytes = 0;
  readonly #budget: BufferBudget | undefined;
  readonly #shedding: Shedding;

  constructor(budget: BufferBudget | undefined, shedding: Shedding) {
    this.#budget = budget;
    this.#shedding = shedding;
    budget?.join(this);
  }

  take(body: EventsBody): void {
    if (body.holders++ === 0) this.#changed(body.bytes.length);
  }

  release(body: EventsBody): void {
    if (--body.holders === 0) this.#changed(-body.bytes.length);
  }

  shedLargest(): void {
    this.#shedding.shedLargestQueue();
  }

  #changed(bytes: number): void {
    this.budgetedBytes += bytes;
    this.#budget?.changed(bytes);
  }
}
