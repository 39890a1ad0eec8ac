/**
 * Events as clients are sent them: an encoded WatchResponse but for its watch id, shared by everyone who sees the
 * same of an upstream watch. Never changed once it is made.
 */
import { type AnswerHeader, type WatchEvent } from "../../etcd/watch-response.ts";
import { eventsBody } from "../../etcd/watch-message.ts";
import type { EventBatch } from "./event-batch.ts";

/** An event and the bytes it lies in. */
export interface PickedEvent {
  readonly bytes: Uint8Array;
  readonly event: WatchEvent;
}

export class EventsBody {
  readonly bytes: Uint8Array;
  /** Of the batches it was made from: where a watch goes on that could not be sent this. */
  readonly firstRevision: number;
  readonly eventCount: number;
  /** Client queues that hold it. */
  holders = 0;
  readonly #header: AnswerHeader;
  readonly #revision: number;
  readonly #events: readonly PickedEvent[];
  readonly #withPrevKv: boolean;
  #pieces: readonly EventsBody[] | null = null;

  /**
   * `firstRevision`: of the batches it is made from; `revision`: what its header tells, everything up to which is
   * said then: some clients (etcd3) resume behind it.
   */
  constructor(
    header: AnswerHeader,
    { firstRevision, revision }: { readonly firstRevision: number; readonly revision: number },
    events: readonly PickedEvent[],
    withPrevKv: boolean,
    fragment = false,
  ) {
    this.bytes = eventsBody(header, revision, events, withPrevKv, fragment);
    this.firstRevision = firstRevision;
    this.eventCount = events.length;
    this.#revision = revision;
    this.#header = header;
    this.#events = events;
    this.#withPrevKv = withPrevKv;
  }

  /** What some batches, one after another, say of the picked events. */
  static of(batches: readonly EventBatch[], events: readonly PickedEvent[], withPrevKv: boolean): EventsBody {
    const { header, toldRevision } = batches.at(-1)!;
    const { firstRevision } = batches[0]!;
    return new EventsBody(header, { firstRevision, revision: toldRevision }, events, withPrevKv);
  }

  /** The same in messages of about `bytesMax`, all but the last marked as fragments. */
  pieces(bytesMax: number): readonly EventsBody[] {
    if (this.bytes.length <= bytesMax || this.#events.length === 1) return [this];
    this.#pieces ??= this.#divide(bytesMax);
    return this.#pieces;
  }

  #divide(bytesMax: number): EventsBody[] {
    const runs: PickedEvent[][] = [[]];
    let runBytes = 0;
    for (const picked of this.#events) {
      const eventBytes = picked.event.end - picked.event.start;
      if (runBytes > 0 && runBytes + eventBytes > bytesMax) {
        runs.push([]);
        runBytes = 0;
      }
      runs.at(-1)!.push(picked);
      runBytes += eventBytes;
    }
    return runs.map((run, at) => {
      const revisions = { firstRevision: this.firstRevision, revision: this.#revision };
      return new EventsBody(this.#header, revisions, run, this.#withPrevKv, at < runs.length - 1);
    });
  }
}
