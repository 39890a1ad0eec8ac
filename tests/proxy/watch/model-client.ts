/**
 * A client with one Watch stream, and the law for the stream: requests are answered in their order and once, with
 * revisions that are current and never go back.
 *
 * Requests go out as bytes that may be cut anywhere; what comes is checked as it comes. `violations` collects what
 * was wrong, for nothing must be thrown into the hub.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  WatchCreateRequest_FilterType,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { Status } from "../../../src/grpc/status.ts";
import { ClientCall } from "./client-call.ts";
import { ClientWatch, type Wish } from "./client-watch.ts";
import { toBytes } from "./key-range.ts";
import type { ModelEtcd } from "./model-etcd.ts";
import type { ModelStore } from "./model-store.ts";
import { COMPACTED, DUPLICATE_ID, EMPTY_RANGE } from "./model-server-stream.ts";

/** What a request meant when it reached the hub. */
type Request =
  | { readonly kind: "create"; readonly watch: ClientWatch }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "progress" };

interface PendingCreate {
  readonly watch: ClientWatch;
  /** The least revision its answer may tell. */
  readonly least: () => number;
  readonly refusalThen: string | undefined;
}

interface PendingCancel {
  readonly watch: ClientWatch;
  readonly least: () => number;
  /** Reads that had failed when it was asked for. */
  readonly failedReads: number;
}

interface PendingProgress {
  /** Its place among the requests. */
  readonly at: number;
  /** The least revision an answer may tell. */
  readonly least: () => number;
}

export class ModelClient {
  readonly name: string;
  readonly token: string;
  readonly requireLeader: boolean;
  readonly call: ClientCall;
  readonly violations: string[] = [];
  /** All watches that the hub has been asked for, in order. */
  readonly watches: ClientWatch[] = [];
  readonly responses: WatchResponse[] = [];
  /** How the hub ended the call. */
  status: Status | undefined;
  /** What revisions of answers to requests for progress must reach, the oldest first. */
  progressWaiting: PendingProgress[] = [];
  readonly #progressRequests: (() => number)[] = [];
  progressAnswers: number[] = [];
  /** False: what is said of progress may be wrong, as etcd's own answers are when a `created` overtakes them. */
  checksProgress = true;
  readonly #etcd: ModelEtcd;
  #unsent: { readonly bytes: Uint8Array; at: number; readonly request: Request }[] = [];
  #creates: PendingCreate[] = [];
  #cancels: PendingCancel[] = [];
  readonly #cancelRequests: { readonly id: number; readonly at: number }[] = [];
  /** The highest revision told by an answer to a create, a cancel or a request for progress. */
  #told = 0;
  /** The same of requests for progress alone: a `created` may overtake an answer about progress. */
  #toldProgress = 0;
  #nextAutomaticId = 0;
  #arrived = 0;

  constructor(name: string, etcd: ModelEtcd, token = "", requireLeader = false) {
    this.name = name;
    this.token = token;
    this.requireLeader = requireLeader;
    this.#etcd = etcd;
    this.call = new ClientCall(token, requireLeader, {
      onMessage: (message) => this.#onMessage(message),
      onStatus: (status) => (this.status = status),
      onViolation: (text) => this.#violation(text),
    });
  }

  get store(): ModelStore {
    return this.#etcd.store;
  }

  get open(): boolean {
    return !this.call.finished;
  }

  get liveWatches(): ClientWatch[] {
    return this.open ? this.watches.filter(({ live }) => live) : [];
  }

  /** Creates and cancels that the hub has not answered. */
  get unanswered(): number {
    return this.#creates.length + this.#cancels.length;
  }

  /** Asks for a watch; `flush` sends it. */
  create(wish: Wish): ClientWatch {
    const watch = new ClientWatch(wish, this.#etcd.store);
    const filters = [
      ...(wish.noPut === true ? [WatchCreateRequest_FilterType.NOPUT] : []),
      ...(wish.noDelete === true ? [WatchCreateRequest_FilterType.NODELETE] : []),
    ];
    const value = {
      key: toBytes(wish.key),
      rangeEnd: toBytes(wish.rangeEnd ?? ""),
      startRevision: BigInt(wish.startRevision ?? 0),
      watchId: BigInt(wish.watchId ?? 0),
      prevKv: wish.prevKv ?? false,
      fragment: wish.fragment ?? false,
      progressNotify: wish.progressNotify ?? false,
      filters,
    };
    this.#queue({ kind: "create", watch }, { requestUnion: { case: "createRequest", value } });
    return watch;
  }

  cancel(id: number): void {
    const value = { watchId: BigInt(id) };
    this.#queue({ kind: "cancel", id }, { requestUnion: { case: "cancelRequest", value } });
  }

  progress(): void {
    this.#queue({ kind: "progress" }, { requestUnion: { case: "progressRequest", value: {} } });
  }

  get unsentBytes(): number {
    return this.#unsent.reduce((sum, { bytes, at }) => sum + bytes.length - at, 0);
  }

  /** Sends up to `bytesMax` bytes of what was asked, all of it by default, in one piece. */
  flush(bytesMax = Number.POSITIVE_INFINITY): void {
    const pieces: Uint8Array[] = [];
    const arrived: Request[] = [];
    let left = bytesMax;
    while (left > 0 && this.#unsent.length > 0) {
      const first = this.#unsent[0]!;
      const end = Math.min(first.bytes.length, first.at + left);
      pieces.push(first.bytes.subarray(first.at, end));
      left -= end - first.at;
      first.at = end;
      if (end < first.bytes.length) break;
      this.#unsent.shift();
      arrived.push(first.request);
    }
    if (!this.open || pieces.length === 0) return;
    for (const request of arrived) this.#arrives(request);
    this.call.sendRequestBytes(Buffer.concat(pieces));
  }

  /** Sends all that was asked, and that no more will be. */
  halfClose(): void {
    this.flush();
    if (this.open) this.call.receiver.onRequestEnd();
  }

  /** Reads all that has come and will come. */
  readAll(): void {
    if (!this.open) return;
    this.call.read(Number.POSITIVE_INFINITY);
    this.call.report();
  }

  #queue(request: Request, message: MessageInitShape<typeof WatchRequestSchema>): void {
    const payload = toBinary(WatchRequestSchema, create(WatchRequestSchema, message));
    const bytes = new Uint8Array(5 + payload.length);
    new DataView(bytes.buffer).setUint32(1, payload.length);
    bytes.set(payload, 5);
    this.#unsent.push({ bytes, at: 0, request });
  }

  /** From here on the hub knows of a request. */
  #arrives(request: Request): void {
    const least = this.#etcd.leastRevision();
    const at = ++this.#arrived;
    if (request.kind === "progress") {
      this.#progressRequests.push(least);
      this.progressWaiting.push({ at, least });
    } else if (request.kind === "create") {
      const { watch } = request;
      watch.createAt = at;
      watch.isTooLate = this.#isTooLate(watch.wish.startRevision ?? 0);
      this.watches.push(watch);
      const refusalThen = this.#refusal(watch);
      this.#creates.push({ watch, least, refusalThen });
    } else {
      this.#cancelRequests.push({ id: request.id, at });
      const watch = this.watches.find((other) => other.id === request.id && other.live);
      // Of a watch that is not there nothing is told. One that is being created may be named by its chosen id.
      const coming = this.#creates.find(
        ({ watch: { wish, cancelRequested } }) =>
          !cancelRequested && wish.watchId === request.id && request.id !== 0,
      )?.watch;
      const canceled = watch ?? coming;
      if (canceled === undefined || canceled.cancelRequested) return;
      canceled.cancelAt = at;
      this.#cancels.push({ watch: canceled, least, failedReads: this.#etcd.failedReads });
    }
  }

  /** Whether every member has given up the history from there, and nothing is under way. */
  #isTooLate(startRevision: number): boolean {
    if (startRevision <= 0 || this.#etcd.actions.length > 0) return false;
    return this.#etcd.members.every(({ compactRevision }) => startRevision < compactRevision);
  }

  #refusal({ range, wish }: ClientWatch): string | undefined {
    return this.#etcd.refusal(this.token, range ?? { key: wish.key, end: `${wish.key}\0` });
  }

  #onMessage(message: Uint8Array): void {
    const response = fromBinary(WatchResponseSchema, message);
    this.responses.push(response);
    this.#checkHeader(response);
    const open = this.watches.find(({ fragmentOpen }) => fragmentOpen);
    if (open !== undefined && (open.id !== Number(response.watchId) || response.events.length === 0)) {
      this.#violation(`something between the fragments of watch ${open.id}`);
    }
    if (response.created) this.#onCreated(response);
    else if (response.canceled) this.#onCanceled(response);
    else if (response.events.length > 0) this.#onEvents(response);
    else this.#onProgress(response);
  }

  #checkHeader({ header }: WatchResponse): void {
    if (header === undefined) {
      this.#violation("no header");
      return;
    }
    const { clusterId, memberId, raftTerm, revision } = header;
    const known = this.#etcd.members.some(({ id }) => id === memberId);
    if (clusterId !== this.#etcd.clusterId || !known || raftTerm === 0n)
      this.#violation("a header that is not full");
    if (revision > this.#etcd.store.revision)
      this.#violation(`revision ${revision} is told before it is there`);
  }

  /** The revision of an answer that must be current. */
  #tell(what: string, response: WatchResponse, least: number): void {
    const revision = Number(response.header?.revision ?? 0);
    if (revision < least)
      this.#violation(`${what} tells revision ${revision}, it was ${least} when it was asked`);
    if (revision < this.#told) this.#violation(`${what} tells revision ${revision} after ${this.#told}`);
    this.#told = Math.max(this.#told, revision);
  }

  #onCreated(response: WatchResponse): void {
    const pending = this.#creates.shift();
    if (pending === undefined) {
      this.#violation("created without a request");
      return;
    }
    const { watch, refusalThen } = pending;
    const name = `created of ${JSON.stringify(watch.wish)}`;
    // A member that refuses a caller tells no revision to the proxy; an older one does for what is not watched.
    this.#tell(name, response, response.canceled ? 0 : pending.least());
    const refusals = [refusalThen, this.#refusal(watch)];
    const holders = this.#holders(watch);
    if (response.canceled) {
      const reason = response.cancelReason;
      const known =
        (refusals.includes(reason) && reason !== undefined) ||
        (reason === EMPTY_RANGE && watch.range === undefined) ||
        (reason === DUPLICATE_ID && holders.length > 0) ||
        (reason === COMPACTED && (watch.wish.startRevision ?? 0) < 0);
      if (!known) this.#violation(`${name} is refused: ${reason}`);
      if (response.watchId !== -1n) this.#violation(`${name} is refused as ${response.watchId}`);
      watch.canceled = true;
      watch.cancelReason = reason;
      this.#cancels = this.#cancels.filter((cancel) => cancel.watch !== watch);
      return;
    }
    if (!refusals.includes(undefined)) this.#violation(`${name} is not refused: ${refusals[0]}`);
    if (watch.range === undefined) this.#violation(`${name} is not refused, but holds no key`);
    if (holders.some(({ live }) => live)) this.#violation(`${name} is not refused, but its id is in use`);
    if (response.events.length > 0 || response.cancelReason !== "") this.#violation(`${name} tells more`);
    const id = Number(response.watchId);
    this.#checkId(id, watch);
    watch.onCreated(id, Number(response.header?.revision ?? 0));
  }

  /** Those that had the chosen id of `watch` when it was asked for, unless the hub ended them meanwhile. */
  #holders({ wish: { watchId = 0 }, createAt }: ClientWatch): ClientWatch[] {
    if (watchId === 0) return [];
    return this.watches.filter(
      (other) =>
        other.created && other.id === watchId && other.createAt < createAt && other.cancelAt > createAt,
    );
  }

  #checkId(id: number, { wish: { watchId = 0 } }: ClientWatch): void {
    if (watchId !== 0) {
      if (id !== watchId) this.#violation(`chosen id ${watchId} became ${id}`);
      return;
    }
    if (this.watches.some((other) => other.live && other.id === id))
      this.#violation(`id ${id} is given twice`);
    if (id < this.#nextAutomaticId) this.#violation(`automatic id ${id} after ${this.#nextAutomaticId - 1}`);
    for (let free = this.#nextAutomaticId; free < id; free++) {
      if (!this.watches.some((other) => other.wish.watchId === free))
        this.#violation(`automatic id ${id}, ${free} was free`);
    }
    this.#nextAutomaticId = id + 1;
  }

  #onCanceled(response: WatchResponse): void {
    const id = Number(response.watchId);
    const watch = this.watches.find((other) => other.live && other.id === id);
    if (watch === undefined) {
      // The id of a compacted watch is taken until it is canceled; a cancel of it is answered.
      const compacted = this.watches.some(
        (other) => other.id === id && other.compactRevision !== 0 && other.cancelRequested,
      );
      if (!compacted) this.#violation(`canceled of ${id}, which is not there`);
      return;
    }
    const compactRevision = Number(response.compactRevision);
    const pending = this.#cancels.find((cancel) => cancel.watch === watch);
    // A cancel for another reason may cross the client's own.
    this.#cancels = this.#cancels.filter((cancel) => cancel !== pending);
    watch.canceled = true;
    watch.compactRevision = compactRevision;
    watch.cancelReason = response.cancelReason;
    if (compactRevision !== 0) {
      const compacted = Math.max(...this.#etcd.members.map((member) => member.compactRevision));
      if (compactRevision > compacted)
        this.#violation(`${compactRevision} told as compacted, it was ${compacted}`);
      if (watch.next >= compactRevision) {
        this.#violation(`watch ${id} is told ${compactRevision} as compacted, but needs ${watch.next} on`);
      }
      return;
    }
    if (pending !== undefined && response.cancelReason === "") {
      // The hub ends a watch even if no member tells it the revision.
      const current = pending.failedReads === this.#etcd.failedReads;
      this.#tell(`canceled of ${id}`, response, current ? pending.least() : 0);
      return;
    }
    const { cancelReason } = response;
    if (this.#etcd.ownReasons.has(cancelReason)) return;
    // Meant for an earlier watch with this id, perhaps.
    const asked = this.#cancelRequests.some((request) => request.id === id && request.at > watch.createAt);
    if (cancelReason === "" && asked) return;
    this.#violation(`watch ${id} is canceled: ${cancelReason}`);
  }

  #onEvents(response: WatchResponse): void {
    const id = Number(response.watchId);
    const watch = this.watches.find((other) => other.live && other.id === id);
    if (watch === undefined) {
      this.#violation(`events for ${id}, which is not there`);
      return;
    }
    const compacted = Math.max(...this.#etcd.members.map((member) => member.compactRevision));
    const wrong = watch.onEvents(response, compacted);
    if (wrong !== undefined) this.#violation(`watch ${id} of ${JSON.stringify(watch.wish)}: ${wrong}`);
    const lastRevision = response.events.at(-1)?.kv?.modRevision ?? 0n;
    if (lastRevision > (this.#etcd.lastRevisionFor.get(this.token) ?? Number.POSITIVE_INFINITY))
      this.#violation(`watch ${id} shows ${lastRevision} on a token that had ended when the member was lost`);
    if ((response.header?.revision ?? 0n) < lastRevision) this.#violation(`a header older than its events`);
  }

  #onProgress(response: WatchResponse): void {
    const revision = Number(response.header?.revision ?? 0);
    const id = Number(response.watchId);
    if (id === -1) {
      this.progressAnswers.push(revision);
      if (this.progressAnswers.length > this.#progressRequests.length)
        this.#violation("progress that nobody asked for");
      if (!this.checksProgress) return;
      // One answer may do for several requests; no answer is older than the first request that it can be for.
      const least = this.#progressRequests[this.progressAnswers.length - 1]?.() ?? 0;
      if (revision < this.#toldProgress) this.#violation(`progress ${revision} after ${this.#toldProgress}`);
      if (revision < least) this.#violation(`progress ${revision}, it was ${least} when it was asked`);
      this.#toldProgress = revision;
      this.#told = Math.max(this.#told, revision);
      this.progressWaiting = this.progressWaiting.filter((waiting) => waiting.least() > revision);
      for (const watch of this.watches) if (watch.live) this.#checkProgress(watch, revision);
      return;
    }
    const watch = this.watches.find((other) => other.live && other.id === id);
    if (watch === undefined) this.#violation(`a notice of progress for ${id}, which is not there`);
    else if (watch.wish.progressNotify !== true)
      this.#violation(`a notice of progress that ${id} did not ask for`);
    else {
      watch.progressNotices++;
      this.#checkProgress(watch, revision);
    }
  }

  #checkProgress(watch: ClientWatch, revision: number): void {
    // Of a watch that is to be canceled the rest may be left out.
    if (!this.checksProgress || watch.cancelRequested) return;
    const missing = watch.missing(revision);
    if (missing !== undefined) {
      this.#violation(
        `progress ${revision} is told, watch ${watch.id} has not had revision ${missing.revision}`,
      );
    }
    watch.progressRevision = Math.max(watch.progressRevision, revision);
    watch.next = Math.max(watch.next, revision + 1);
  }

  #violation(text: string): void {
    this.violations.push(`${this.name}: ${text}`);
  }
}
