/**
 * The recent events of an upstream watch: who joins, or comes back soon, is served from here.
 *
 * Holds every event from `floorRevision` up to but not including `nextRevision`. What it has to forget moves the
 * floor up; the newest batch stays, however large, so that those who are up to date never fall out.
 */
import type { EventBatch } from "./event-batch.ts";

export class EventRing {
  /** The oldest revision that can be served. */
  floorRevision: number;
  /** The first revision that is not known to be complete. */
  nextRevision: number;
  #batches: EventBatch[] = [];
  #head = 0;
  #bytes = 0;

  constructor(firstRevision: number) {
    this.floorRevision = firstRevision;
    this.nextRevision = firstRevision;
  }

  get heldBytes(): number {
    return this.#bytes;
  }

  /** Appends what follows; every revision of it is at or above `nextRevision`. */
  push(batch: EventBatch): void {
    this.#batches.push(batch);
    this.#bytes += batch.heldBytes;
    this.nextRevision = batch.toldRevision + 1;
  }

  /** Nothing more is to come below `revision` + 1. */
  provenTo(revision: number): void {
    if (revision >= this.nextRevision) this.nextRevision = revision + 1;
  }

  /** Forgets the oldest batches beyond `bytesMax`. */
  trim(bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#batches.length - this.#head > 1) {
      const oldest = this.#batches[this.#head]!;
      this.#bytes -= oldest.heldBytes;
      this.#head++;
      this.floorRevision = oldest.toldRevision + 1;
    }
    if (this.#head > 64 && this.#head * 2 > this.#batches.length) {
      this.#batches.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Forgets all: memory is needed. */
  clear(): void {
    this.#batches = [];
    this.#head = 0;
    this.#bytes = 0;
    this.floorRevision = this.nextRevision;
  }

  /** The batches with anything at or above `revision`, in order. */
  from(revision: number): readonly EventBatch[] {
    let low = this.#head;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#batches[middle]!.lastRevision < revision) low = middle + 1;
      else high = middle;
    }
    return this.#batches.slice(low);
  }
}
