/**
 * What a cluster has agreed on: a log of writes and compactions, and so the whole history of its keys.
 *
 * Members apply the log at their own pace. Nothing is ever forgotten here: a compaction is an entry, and what a
 * watch has to show can be looked up at any time.
 */
import { create } from "@bufbuild/protobuf";
import {
  type Event,
  Event_EventType,
  EventSchema,
  type KeyValue,
  KeyValueSchema,
} from "../../../src/gen/mvccpb/kv_pb.ts";
import { holdsKey, type KeyRange, toBytes } from "./key-range.ts";

export interface ModelEvent {
  readonly revision: number;
  readonly key: string;
  readonly isDelete: boolean;
  /** As a watch without `prev_kv` shows it. */
  readonly event: Event;
  /** The pair before, if there was one. */
  readonly previous: KeyValue | undefined;
}

export interface Write {
  readonly kind: "write";
  readonly revision: number;
  readonly events: readonly ModelEvent[];
}

export interface Compaction {
  readonly kind: "compaction";
  readonly revision: number;
}

export interface Filters {
  readonly noPut: boolean;
  readonly noDelete: boolean;
}

/** A value puts, undefined deletes. */
export type Change = readonly [key: string, value: string | undefined];

export class ModelStore {
  readonly log: (Write | Compaction)[] = [];
  /** All events, in their order. */
  readonly events: ModelEvent[] = [];
  /** An empty store has revision 1. */
  revision = 1;
  readonly #pairs = new Map<string, KeyValue>();

  /** One transaction. Deletes of missing keys are no changes; without any change there is no revision. */
  write(changes: readonly Change[]): void {
    const byKey = new Map(changes);
    const revision = this.revision + 1;
    const events: ModelEvent[] = [];
    for (const [key, value] of byKey) {
      const previous = this.#pairs.get(key);
      if (value === undefined) {
        if (previous === undefined) continue;
        this.#pairs.delete(key);
        const kv = create(KeyValueSchema, { key: toBytes(key), modRevision: BigInt(revision) });
        events.push(modelEvent(revision, key, Event_EventType.DELETE, kv, previous));
      } else {
        const kv = create(KeyValueSchema, {
          key: toBytes(key),
          value: toBytes(value),
          createRevision: previous?.createRevision ?? BigInt(revision),
          modRevision: BigInt(revision),
          version: (previous?.version ?? 0n) + 1n,
        });
        this.#pairs.set(key, kv);
        events.push(modelEvent(revision, key, Event_EventType.PUT, kv, previous));
      }
    }
    if (events.length === 0) return;
    this.revision = revision;
    this.log.push({ kind: "write", revision, events });
    this.events.push(...events);
  }

  /** Gives up the history below `revision`. */
  compact(revision: number): void {
    const done = this.log.some((entry) => entry.kind === "compaction" && entry.revision >= revision);
    if (!done && revision <= this.revision) this.log.push({ kind: "compaction", revision });
  }
}

/** True when a watch of `range` with `filters` shows `event`. */
export function isShown(event: ModelEvent, range: KeyRange, filters: Filters): boolean {
  return holdsKey(range, event.key) && !(event.isDelete ? filters.noDelete : filters.noPut);
}

/** The event as a watch with `prev_kv` shows it. */
export function withPrevious(event: ModelEvent): Event {
  if (event.previous === undefined) return event.event;
  return create(EventSchema, { ...event.event, prevKv: event.previous });
}

function modelEvent(
  revision: number,
  key: string,
  type: Event_EventType,
  kv: KeyValue,
  previous: KeyValue | undefined,
): ModelEvent {
  const isDelete = type === Event_EventType.DELETE;
  return { revision, key, isDelete, event: create(EventSchema, { type, kv }), previous };
}
