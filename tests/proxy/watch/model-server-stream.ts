/**
 * One Watch stream as a member serves it: the requests in their order, and two queues of answers.
 *
 * What etcd does: answers to creates and cancels go by a queue of their own and may overtake events or be overtaken,
 * but no event of a watch goes out before its `created`. A watch that starts in the past is not synced: it is given
 * some revisions at a time, whole ones, until it has them all. Versions differ in what they say of progress: 3.4
 * answers at once, by the other queue; 3.5 behind the events, when all watches are synced; 3.7 the same, when none of
 * them begins in the future besides. A watch that ended as compacted keeps its id, and counts as one that is not
 * synced, until it is canceled.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  WatchCreateRequest_FilterType,
  type WatchCreateRequest,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { type KeyRange, requestedRange, toText } from "./key-range.ts";
import type { ModelMember } from "./model-member.ts";
import { type Filters, isShown, type ModelEvent, withPrevious, type Write } from "./model-store.ts";

export const EMPTY_RANGE = "mvcc: watcher range is empty";
export const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
export const COMPACTED = "etcdserver: mvcc: required revision has been compacted";

export type EtcdVersion = "3.4" | "3.5" | "3.7";

export interface StreamRules {
  readonly version: EtcdVersion;
  readonly clusterId: bigint;
  /** Answers of this many bytes are split for watches with `fragment`. */
  readonly fragmentBytes: number;
  /** Most revisions of one answer to a watch that is not synced. */
  readonly syncRevisionsMax: number;
  /** Why `token` may not watch the range, or undefined. */
  refusal(token: string, range: KeyRange): string | undefined;
}

interface ServerWatch {
  readonly id: number;
  readonly range: KeyRange;
  readonly filters: Filters;
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** The first revision that it has not been given. */
  next: number;
  state: "synced" | "unsynced" | "compacted";
  /** Gets a notice at the next tick: nothing was sent since the last. */
  noticeDue: boolean;
  /** `created` is sent and `canceled` is not. */
  announced: boolean;
}

/** Something on its way out; events become messages when they are sent. */
interface Answer {
  /** Undefined: of no watch in particular. */
  readonly watch: ServerWatch | undefined;
  readonly revision: number;
  readonly events: readonly ModelEvent[];
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
}

export class ModelServerStream {
  readonly member: ModelMember;
  readonly token: string;
  readonly watches = new Map<number, ServerWatch>();
  /** The queue of events is full: what is written now reaches its watches by a later `sync`. */
  full = false;
  readonly #rules: StreamRules;
  readonly #send: (message: Uint8Array) => void;
  #events: Answer[] = [];
  #control: Answer[] = [];
  #nextId = 0;

  /** `send` is given the answers, encoded. */
  constructor(member: ModelMember, token: string, rules: StreamRules, send: (message: Uint8Array) => void) {
    this.member = member;
    this.token = token;
    this.#rules = rules;
    this.#send = send;
    member.streams.add(this);
  }

  close(): void {
    this.member.streams.delete(this);
  }

  /** Takes a request. */
  receive(bytes: Uint8Array): void {
    const { requestUnion } = fromBinary(WatchRequestSchema, bytes);
    switch (requestUnion.case) {
      case "createRequest":
        this.#create(requestUnion.value);
        break;
      case "cancelRequest":
        this.cancelWatch(Number(requestUnion.value.watchId), "");
        break;
      case "progressRequest":
        this.#tellProgressOfAll();
        break;
      case undefined:
    }
  }

  /** The member has applied a write. */
  onWrite({ revision, events }: Write): void {
    for (const watch of this.watches.values()) {
      if (watch.state !== "synced" || revision < watch.next) continue;
      const shown = events.filter((event) => isShown(event, watch.range, watch.filters));
      if (this.full && shown.length > 0) {
        watch.state = "unsynced";
        watch.next = revision;
        continue;
      }
      watch.next = revision + 1;
      if (shown.length > 0) this.#events.push(answer(watch, revision, { events: shown }));
    }
  }

  get unsynced(): boolean {
    return [...this.watches.values()].some(({ state }) => state === "unsynced");
  }

  /** Gives each watch that is not synced some more of the past. */
  sync(): void {
    for (const watch of this.watches.values()) if (watch.state === "unsynced") this.#sync(watch);
  }

  /** Sends notices of progress to the watches that asked and had nothing since the last tick. */
  tickProgress(): void {
    for (const watch of this.watches.values()) {
      if (!watch.progressNotify) continue;
      if (watch.noticeDue && watch.state === "synced" && !this.#isFuture(watch)) {
        this.#events.push(answer(watch, this.member.revision, {}));
      }
      watch.noticeDue = true;
    }
  }

  /** Ends a watch: a request of the client, or, with a reason, the member's own will. */
  cancelWatch(id: number, cancelReason: string): void {
    const watch = this.watches.get(id);
    if (watch === undefined) return;
    this.watches.delete(id);
    this.#control.push(answer(watch, this.member.revision, { canceled: true, cancelReason }));
  }

  /** How many of the two queues hold something. */
  get pending(): boolean {
    return this.#events.length > 0 || this.#control.length > 0;
  }

  /** Sends the next answer of one of the queues. */
  pump(preferEvents: boolean): void {
    const useEvents = this.#events.length > 0 && (preferEvents || this.#control.length === 0);
    const next = useEvents ? this.#events.shift() : this.#control.shift();
    if (next === undefined) return;
    if (useEvents && next.watch?.announced === false) {
      // Behind its `created`, but never behind its `canceled`.
      const created = this.#control.findIndex(({ watch, created }) => created && watch === next.watch);
      if (created === -1) return;
      for (const earlier of this.#control.splice(0, created + 1)) this.#encode(earlier);
    }
    this.#encode(next);
  }

  #create(request: WatchCreateRequest): void {
    const range = requestedRange(toText(request.key), toText(request.rangeEnd));
    const chosen = Number(request.watchId);
    const key = toText(request.key);
    const startRevision = Number(request.startRevision);
    const refused =
      (startRevision < 0 && this.#rules.version === "3.7" ? COMPACTED : undefined) ??
      this.#rules.refusal(this.token, range ?? { key, end: `${key}\0` }) ??
      (range === undefined ? EMPTY_RANGE : undefined) ??
      (chosen !== 0 && this.watches.has(chosen) ? DUPLICATE_ID : undefined);
    const revision = this.member.revision;
    if (range === undefined || refused !== undefined) {
      const cancelReason = refused ?? "";
      this.#control.push(answer(undefined, revision, { created: true, canceled: true, cancelReason }));
      return;
    }
    let id = chosen;
    if (id === 0) {
      while (this.watches.has(this.#nextId)) this.#nextId++;
      id = this.#nextId++;
    }
    const synced = startRevision === 0 || startRevision > revision;
    const watch: ServerWatch = {
      id,
      range,
      filters: {
        noPut: request.filters.includes(WatchCreateRequest_FilterType.NOPUT),
        noDelete: request.filters.includes(WatchCreateRequest_FilterType.NODELETE),
      },
      startRevision,
      prevKv: request.prevKv,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      next: startRevision === 0 ? revision + 1 : startRevision,
      state: synced ? "synced" : "unsynced",
      noticeDue: true,
      announced: false,
    };
    this.watches.set(id, watch);
    this.#control.push(answer(watch, revision, { created: true }));
  }

  #tellProgressOfAll(): void {
    const { revision } = this.member;
    if (this.#rules.version === "3.4") {
      this.#control.push(answer(undefined, revision, {}));
      return;
    }
    if (this.watches.size === 0 || this.full) return;
    for (const watch of this.watches.values()) if (watch.state !== "synced" || this.#isFuture(watch)) return;
    this.#events.push(answer(undefined, revision, {}));
  }

  /** Begins in the future, and the version minds that. */
  #isFuture({ startRevision }: ServerWatch): boolean {
    return this.#rules.version === "3.7" && this.member.revision < startRevision;
  }

  #sync(watch: ServerWatch): void {
    const { revision, compactRevision } = this.member;
    if (watch.next < compactRevision) {
      watch.state = "compacted";
      this.#events.push(answer(watch, 0, { canceled: true, compactRevision }));
      return;
    }
    const batch: ModelEvent[] = [];
    const revisions = new Set<number>();
    for (const event of this.member.eventsFrom(watch.next)) {
      if (!isShown(event, watch.range, watch.filters)) continue;
      if (!revisions.has(event.revision) && revisions.size === this.#rules.syncRevisionsMax) {
        watch.next = event.revision;
        this.#events.push(answer(watch, revision, { events: batch }));
        return;
      }
      revisions.add(event.revision);
      batch.push(event);
    }
    watch.next = revision + 1;
    watch.state = "synced";
    if (batch.length > 0) this.#events.push(answer(watch, revision, { events: batch }));
  }

  #encode(next: Answer): void {
    const { watch } = next;
    const { clusterId } = this.#rules;
    const { id: memberId, raftTerm } = this.member;
    const response = create(WatchResponseSchema, {
      header: { clusterId, memberId, raftTerm, revision: BigInt(next.revision) },
      watchId: BigInt(watch?.id ?? -1),
      created: next.created,
      canceled: next.canceled,
      compactRevision: BigInt(next.compactRevision),
      cancelReason: next.cancelReason,
      events: next.events.map((event) =>
        // The pair before is read now: it may have been compacted away.
        watch?.prevKv === true && event.revision - 1 >= this.member.compactRevision
          ? withPrevious(event)
          : event.event,
      ),
    });
    if (watch?.fragment === true) this.#sendFragments(response);
    else this.#send(toBinary(WatchResponseSchema, response));
    if (watch === undefined) return;
    if (next.created || next.canceled) watch.announced = next.created;
    if (next.events.length > 0) watch.noticeDue = false;
  }

  #sendFragments(response: WatchResponse): void {
    const whole = toBinary(WatchResponseSchema, response);
    if (whole.length < this.#rules.fragmentBytes || response.events.length < 2) {
      this.#send(whole);
      return;
    }
    const { header, watchId, events } = response;
    for (let at = 0; at < events.length;) {
      let taken = 0;
      let encoded = whole;
      while (at + taken < events.length) {
        const piece = events.slice(at, at + taken + 1);
        const fragment = at + taken + 1 < events.length;
        const longer = toBinary(
          WatchResponseSchema,
          create(WatchResponseSchema, { ...(header && { header }), watchId, events: piece, fragment }),
        );
        if (taken > 0 && longer.length >= this.#rules.fragmentBytes) break;
        encoded = longer;
        taken++;
      }
      this.#send(encoded);
      at += taken;
    }
  }
}

function answer(watch: ServerWatch | undefined, revision: number, more: Partial<Answer>): Answer {
  const plain = { events: [], created: false, canceled: false, compactRevision: 0, cancelReason: "" };
  return { watch, revision, ...plain, ...more };
}
