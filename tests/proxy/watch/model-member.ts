/**
 * A member of the model cluster: a replica of the store that may lag, and the watch streams it serves.
 *
 * A write reaches the synced watches in the moment it is applied; compactions count from then on, too.
 */
import type { ModelEvent, ModelStore } from "./model-store.ts";
import type { ModelServerStream } from "./model-server-stream.ts";

export class ModelMember {
  readonly id: bigint;
  readonly store: ModelStore;
  readonly streams = new Set<ModelServerStream>();
  revision = 1;
  /** -1 until something was compacted, as in etcd. */
  compactRevision = -1;
  raftTerm = 2n;
  #applied = 0;

  constructor(id: bigint, store: ModelStore) {
    this.id = id;
    this.store = store;
  }

  /** How many entries of the log it does not have yet. */
  get lag(): number {
    return this.store.log.length - this.#applied;
  }

  /** Applies the next `entries` entries of the log. */
  apply(entries: number): void {
    const until = Math.min(this.store.log.length, this.#applied + entries);
    while (this.#applied < until) {
      const entry = this.store.log[this.#applied++]!;
      if (entry.kind === "compaction") {
        this.compactRevision = entry.revision;
        continue;
      }
      this.revision = entry.revision;
      for (const stream of this.streams) stream.onWrite(entry);
    }
  }

  /** The events that it has, from revision `from` on. */
  *eventsFrom(from: number): Generator<ModelEvent> {
    for (const event of this.store.events) {
      if (event.revision > this.revision) return;
      if (event.revision >= from) yield event;
    }
  }
}
