/**
 * One watch of a model client, and the law for it: what a private watch at etcd would have shown, no more, no less.
 *
 * The next event that has to come is known from the history of the store, so whatever comes is compared with that.
 */
import { equals } from "@bufbuild/protobuf";
import { EventSchema } from "../../../src/gen/mvccpb/kv_pb.ts";
import type { WatchResponse } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { type KeyRange, requestedRange } from "./key-range.ts";
import { isShown, type ModelEvent, type ModelStore, withPrevious } from "./model-store.ts";

/** A create request, with etcd's defaults for what is left out. */
export interface Wish {
  readonly key: string;
  readonly rangeEnd?: string;
  /** 0: now. */
  readonly startRevision?: number;
  /** 0: the server chooses. */
  readonly watchId?: number;
  readonly prevKv?: boolean;
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
  readonly fragment?: boolean;
  readonly progressNotify?: boolean;
}

export class ClientWatch {
  readonly wish: Wish;
  readonly range: KeyRange | undefined;
  readonly store: ModelStore;
  id = -1;
  /** Everything of it below this revision has been received. */
  next = 0;
  created = false;
  canceled = false;
  /** Its place among the requests of its stream. */
  createAt = 0;
  /** The place of the client's cancel request, once that has reached the hub. */
  cancelAt = Number.POSITIVE_INFINITY;
  /** Its start was compacted before it was asked for: it can only end. */
  isTooLate = false;
  /** Events received. */
  received = 0;
  progressNotices = 0;
  /** The revision of the latest notice, or of an answer to a request for progress. */
  progressRevision = 0;
  /** The reason it was told for its end. */
  cancelReason = "";
  compactRevision = 0;
  /** In the middle of a fragmented answer. */
  fragmentOpen = false;
  /** Where in the store's events the next one is looked for. */
  #at = 0;

  constructor(wish: Wish, store: ModelStore) {
    this.wish = wish;
    this.store = store;
    this.range = requestedRange(wish.key, wish.rangeEnd ?? "");
  }

  get live(): boolean {
    return this.created && !this.canceled;
  }

  get cancelRequested(): boolean {
    return this.cancelAt !== Number.POSITIVE_INFINITY;
  }

  onCreated(id: number, revision: number): void {
    const { startRevision = 0 } = this.wish;
    this.created = true;
    this.id = id;
    this.next = startRevision === 0 ? revision + 1 : startRevision;
  }

  /** The first event that it has not been sent, if there is one up to `revision`. */
  missing(revision: number): ModelEvent | undefined {
    const { events } = this.store;
    const { range } = this;
    const { noPut = false, noDelete = false } = this.wish;
    if (range === undefined) return undefined;
    while (this.#at < events.length) {
      const event = events[this.#at]!;
      if (event.revision >= this.next && isShown(event, range, { noPut, noDelete })) {
        return event.revision <= revision ? event : undefined;
      }
      this.#at++;
    }
    return undefined;
  }

  /** Takes events; returns what is wrong with them. `compactRevision`: of the member that is furthest. */
  onEvents(response: WatchResponse, compactRevision: number): string | undefined {
    let last: ModelEvent | undefined;
    for (const event of response.events) {
      const expected = this.missing(Number.POSITIVE_INFINITY);
      const shown = `revision ${event.kv?.modRevision} of ${Buffer.from(event.kv?.key ?? []).toString()}`;
      if (expected === undefined) return `${shown} came, nothing more was to come`;
      if (Number(event.kv?.modRevision) !== expected.revision) {
        return `${shown} came, revision ${expected.revision} of ${expected.key} was next`;
      }
      // The pair before may be gone by a compaction.
      const mayLack = expected.revision - 1 < compactRevision || this.cancelRequested;
      const full = this.wish.prevKv === true ? withPrevious(expected) : expected.event;
      if (!equals(EventSchema, event, full) && !(mayLack && equals(EventSchema, event, expected.event))) {
        return `${shown} is not the event that was written: prev_kv ${event.prevKv !== undefined}`;
      }
      this.#at++;
      this.received++;
      last = expected;
    }
    if (last === undefined) return undefined;
    if (response.fragment && this.wish.fragment !== true) return "a fragment nobody asked for";
    this.fragmentOpen = response.fragment;
    if (!response.fragment && this.missing(last.revision) !== undefined) {
      return `revision ${last.revision} came without all its events`;
    }
    if (!response.fragment) this.next = last.revision + 1;
    return undefined;
  }
}
