/**
 * All events of one or more whole revisions of an upstream watch, as one message of the member told them.
 */
import type { AnswerHeader, WatchEvent } from "../../etcd/watch-response.ts";

export class EventBatch {
  readonly header: AnswerHeader;
  /** A copy of our own, which the events point into. */
  readonly bytes: Uint8Array;
  readonly events: readonly WatchEvent[];
  readonly firstRevision: number;
  readonly lastRevision: number;
  /** Everything up to it is in this batch or in those before; not below `lastRevision`. */
  readonly toldRevision: number;

  /** `events` are in the order of their revisions, at least one. */
  constructor(header: AnswerHeader, bytes: Uint8Array, events: readonly WatchEvent[], toldRevision: number) {
    this.header = header;
    this.bytes = bytes;
    this.events = events;
    this.firstRevision = events[0]!.revision;
    this.lastRevision = events.at(-1)!.revision;
    this.toldRevision = toldRevision;
  }

  /** What keeping it costs, about. */
  get heldBytes(): number {
    return this.bytes.length + this.events.length * EVENT_BYTES;
  }
}

/** What an event's description costs in memory, about. */
export const EVENT_BYTES = 100;

/** Batches in runs of about `bytesGoal`: each becomes one message. */
export function runs(batches: readonly EventBatch[], bytesGoal: number): readonly (readonly EventBatch[])[] {
  if (batches.length < 2) return batches.length === 0 ? [] : [batches];
  const all: EventBatch[][] = [];
  let run: EventBatch[] = [];
  let runBytes = 0;
  for (const batch of batches) {
    if (run.length > 0 && runBytes + batch.bytes.length > bytesGoal) {
      all.push(run);
      run = [];
      runBytes = 0;
    }
    run.push(batch);
    runBytes += batch.bytes.length;
  }
  all.push(run);
  return all;
}
