/**
 * The calls and returns of a history in the order of their times, as a linked list from which an operation can be
 * lifted and to which it can be put back in no time (Lowe's form of Wing and Gong's search).
 *
 * Invariant: operations are put back in the opposite order of their lifting.
 */
import type { Answered } from "./history.ts";

export interface EventEntry {
  readonly kind: "call" | "return";
  /** Place of the operation among all, by call. */
  readonly index: number;
  readonly operation: Answered;
  previous: EventEntry | undefined;
  next: EventEntry | undefined;
  /** Of a call: its return. */
  readonly end: EventEntry | undefined;
}

export class EventList {
  #first: EventEntry | undefined;

  /** @param operations ordered by call. */
  constructor(operations: readonly Answered[]) {
    const entries = operations.flatMap((operation, index) => {
      const links = { index, operation, previous: undefined, next: undefined };
      const end: EventEntry = { ...links, kind: "return", end: undefined };
      return [{ ...links, kind: "call", end } satisfies EventEntry, end];
    });
    entries.sort((left, right) => timeOf(left) - timeOf(right) || rankOf(left) - rankOf(right));
    for (const [place, entry] of entries.entries()) {
      entry.previous = entries[place - 1];
      entry.next = entries[place + 1];
    }
    this.#first = entries[0];
  }

  get first(): EventEntry | undefined {
    return this.#first;
  }

  /** The calls that may take effect next: no operation has returned before them. */
  eligible(): EventEntry[] {
    const calls: EventEntry[] = [];
    for (let entry = this.#first; entry?.kind === "call"; entry = entry.next) calls.push(entry);
    return calls;
  }

  /** Until when, at the latest, the next operation must take effect. */
  get firstReturnMs(): number {
    let entry = this.#first;
    while (entry?.kind === "call") entry = entry.next;
    return entry?.operation.returnMs ?? Number.POSITIVE_INFINITY;
  }

  /** Takes a call and its return out. */
  lift(call: EventEntry): void {
    this.#unlink(call);
    this.#unlink(call.end!);
  }

  /** Puts back what was lifted last. */
  unlift(call: EventEntry): void {
    this.#link(call.end!);
    this.#link(call);
  }

  #unlink(entry: EventEntry): void {
    if (entry.previous === undefined) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next !== undefined) entry.next.previous = entry.previous;
  }

  #link(entry: EventEntry): void {
    if (entry.previous === undefined) this.#first = entry;
    else entry.previous.next = entry;
    if (entry.next !== undefined) entry.next.previous = entry;
  }
}

function timeOf({ kind, operation }: EventEntry): number {
  return kind === "call" ? operation.callMs : operation.returnMs;
}

/** At the same time, calls come first: such operations overlap. */
function rankOf({ kind }: EventEntry): number {
  return kind === "call" ? 0 : 1;
}
