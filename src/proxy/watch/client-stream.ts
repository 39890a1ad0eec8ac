/**
 * One client's Watch stream: its requests in their order, its watches, and the queue of what it is sent.
 *
 * Each create and cancel is answered with a revision that was read after it arrived, so a request may have to wait
 * for its answer; those behind it wait, too, since clients tell answers to creates apart by their order. A client
 * that does not read its answers is not listened to.
 */
import { credentialOf, requiresLeader } from "../../etcd/identity.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { controlBody, type ControlAnswer } from "../../etcd/watch-message.ts";
import type { AnswerHeader } from "../../etcd/watch-response.ts";
import { COMPRESSED_MESSAGE, MessageReader } from "../../grpc/message-reader.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { EndlessCall } from "../endless-calls.ts";
import { ClientQueue } from "./client-queue.ts";
import { type ClientRequest, type CreateRequest, readClientRequest } from "./client-request.ts";
import type { EventsBody } from "./events-body.ts";
import type { HeldBodies } from "./held-bodies.ts";
import type { ProbeAnswer } from "./revision-probes.ts";
import { NO_WATCH_ID, Subscriber, type WatchId } from "./subscriber.ts";
import type { WatchLimits } from "./watch-limits.ts";

/** What a stream needs of the hub. */
export interface ClientStreamOwner {
  readonly limits: WatchLimits;
  readonly requestBytesMax: number;
  readonly held: HeldBodies;
  /** The newest header that a member has sent. */
  readonly lastHeader: AnswerHeader | null;
  /** Calls to members that were lost or left until now. */
  readonly callsLeft: number;
  probe(
    token: string,
    range: KeyRange | null,
    startRevision: number,
    onAnswer: (answer: ProbeAnswer) => void,
  ): void;
  /** The watch is allowed: finds, or opens, what it will ride on. */
  prepare(subscriber: Subscriber): void;
  /** The newest revision that a watch on the subscriber's range has reached; null until there is such a watch. */
  reachedRevision(subscriber: Subscriber): number | null;
  /** `created` has been told: events may be sent. */
  start(subscriber: Subscriber): void;
  /** The watch is wanted no more: nothing more is sent for it. */
  release(subscriber: Subscriber): void;
  /** The stream wants to know how far it is; `sendProgress` answers. */
  askProgress(stream: ClientStream): void;
  /** The queue has room again: watches that lag may go on. */
  onRoomy(stream: ClientStream): void;
  onStreamClosed(stream: ClientStream): void;
}

interface PendingRequest {
  readonly request: ClientRequest;
  readonly bytes: number;
  /** Of creates and cancels, once it has come. */
  answer: ProbeAnswer | null;
  /** Of an allowed create. */
  subscriber: Subscriber | null;
}

/** What a request that waits costs besides its bytes, about. */
const REQUEST_BYTES = 256;
/** What a watch costs, about: it counts for the process's buffer limit, since a stream may have any number of them. */
const WATCH_BYTES = 512;

export class ClientStream implements CallReceiver, EndlessCall {
  readonly call: ServerCall;
  readonly token: string;
  /** It ends when its member knows no leader. */
  readonly requiresLeader: boolean;
  readonly queue: ClientQueue;
  readonly watches = new Map<WatchId, Subscriber>();
  /** Watches of it that wait for room in the queue. */
  readonly laggards = new Set<Subscriber>();
  /** The newest revision that the client was told as being reached. */
  toldRevision = 0;
  /** The newest revision up to which the client was told that it has everything. */
  toldProgress = 0;
  closed = false;
  readonly #owner: ClientStreamOwner;
  readonly #reader: MessageReader;
  readonly #pending: PendingRequest[] = [];
  #head = 0;
  #pendingBytes = 0;
  #unfinishedBytes = 0;
  #owedCreditBytes = 0;
  #nextWatchId = 0;
  #advancing = false;
  /** How it ends once what waits in the queue has left. */
  #dismissal: Status | null = null;

  constructor(call: ServerCall, owner: ClientStreamOwner) {
    this.call = call;
    this.#owner = owner;
    this.token = credentialOf(call.head);
    this.requiresLeader = requiresLeader(call.head);
    this.queue = new ClientQueue(call, owner.held, owner.limits.queueBytesMax);
    this.#reader = new MessageReader(owner.requestBytesMax);
    call.receiver = this;
  }

  /** Sends events to some watches of this stream. */
  sendEvents(body: EventsBody, subscribers: readonly Subscriber[], fragmentBytesMax: number): void {
    if (body.bytes.length <= fragmentBytesMax) {
      this.queue.sendEvents(body, subscribers);
      return;
    }
    const others = subscribers.filter(({ options }) => !options.fragment);
    if (others.length > 0) this.queue.sendEvents(body, others);
    if (others.length === subscribers.length) return;
    const pieces = body.pieces(fragmentBytesMax);
    for (const subscriber of subscribers) {
      if (subscriber.options.fragment) this.queue.sendPieces(body, pieces, subscriber);
    }
  }

  /** Tells how far the whole stream is (`watchId` -1), or one watch of it. */
  sendProgress(watchId: WatchId, header: AnswerHeader, revision: number): void {
    if (watchId === NO_WATCH_ID) this.toldProgress = revision;
    this.toldRevision = Math.max(this.toldRevision, revision);
    this.queue.sendControl(watchId, controlBody({ header, revision }), "progress");
  }

  /** Ends a watch for a reason of the member's. */
  sendCanceled(subscriber: Subscriber, why: { reason: string; compactRevision: number }): void {
    if (subscriber.ended) return;
    this.#forget(subscriber);
    const { reason: cancelReason, compactRevision } = why;
    const header = this.#owner.lastHeader ?? NO_HEADER;
    // Of a compaction etcd tells no revision but that.
    const revision = compactRevision === 0 ? Math.max(header.revision, this.toldRevision) : 0;
    this.#tell(subscriber.id, { header, revision, canceled: true, cancelReason, compactRevision });
  }

  /**
   * What a member told as `toldRevision` or later is not so, since the cluster is at `latestRevision`: watches that rest
   * on it end, for what comes next would not be told to them.
   */
  onUnreal(toldRevision: number, latestRevision: number, reason: string): void {
    if (this.toldRevision >= toldRevision) this.toldRevision = latestRevision;
    if (this.toldProgress >= toldRevision) this.toldProgress = latestRevision;
    for (const subscriber of [...this.watches.values()]) {
      // Who asked for what is to come waits for it.
      if (subscriber.startRevision > latestRevision + 1) continue;
      if (subscriber.dueRevision > toldRevision)
        this.sendCanceled(subscriber, { reason, compactRevision: 0 });
    }
  }

  /** Something has come that a request may have waited for. */
  advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    while (!this.closed && this.#dismissal === null && !this.queue.full) {
      const pending = this.#pending[this.#head];
      if (pending === undefined || !this.#execute(pending)) break;
      this.#shift(pending);
    }
    this.#advancing = false;
  }

  /** The stream's watches are up to date, none waits for anything. */
  get upToDate(): boolean {
    for (const { state } of this.watches.values()) if (state !== "live") return false;
    return true;
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#dismissal !== null) return;
    const problem = this.#reader.read(bytes, start, end, (message, from, to) => {
      this.#onRequest(message, from, to);
    });
    this.#countUnfinished(this.#reader.heldBytes);
    this.#owedCreditBytes += end - start;
    this.#giveCredit();
    if (problem === -1) return;
    if (problem === COMPRESSED_MESSAGE)
      this.end(Code.UNIMPLEMENTED, "grpc: compressed requests of Watch are not supported");
    else {
      const limit = this.#owner.requestBytesMax;
      const message = `grpc: received message larger than max (${problem} vs. ${limit})`;
      this.call.limitReached("messageSize", message);
      this.end(Code.RESOURCE_EXHAUSTED, message);
    }
  }

  /** The client asks for nothing more; its watches go on. */
  onRequestEnd(): void {}

  onAnswerSent(bytes: number): void {
    this.queue.onSent(bytes);
    if (this.#dismissal !== null) this.#endDismissed(this.#dismissal);
    if (this.closed || !this.queue.roomy) return;
    this.advance();
    this.#owner.onRoomy(this);
  }

  onCancel(): void {
    this.close();
  }

  /**
   * Ends the stream behind what its queue holds, which is whole revisions. Further ones it does not get: its client
   * goes on behind the last that it has seen. Creates and cancels that wait for their answers are not answered.
   */
  dismiss(status: Status): void {
    if (this.closed || this.#dismissal !== null) return;
    this.#dismissal = status;
    for (const subscriber of this.watches.values()) this.#owner.release(subscriber);
    this.#endDismissed(status);
  }

  #endDismissed({ code, message }: Status): void {
    if (this.queue.idle) this.end(code, message);
  }

  /** Ends the stream with a status. */
  end(code: number, message: string): void {
    if (this.closed) return;
    this.close();
    this.call.finishWithStatus({ code, message });
  }

  /** Forgets everything; the call is over or about to be. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#countUnfinished(0);
    for (const subscriber of [...this.watches.values()]) this.#forget(subscriber);
    for (let at = this.#head; at < this.#pending.length; at++) {
      const { subscriber } = this.#pending[at]!;
      if (subscriber !== null && !subscriber.ended) this.#forget(subscriber);
    }
    this.#pending.length = 0;
    this.#head = 0;
    this.queue.clear();
    this.#owner.onStreamClosed(this);
  }

  /** What has come of a request that is not whole counts for the process's buffers: the client has credit for it. */
  #countUnfinished(bytes: number): void {
    const change = bytes - this.#unfinishedBytes;
    if (change === 0) return;
    this.#unfinishedBytes = bytes;
    this.call.retain(change);
  }

  #onRequest(bytes: Uint8Array, start: number, end: number): void {
    if (this.closed) return;
    let request: ClientRequest;
    try {
      request = readClientRequest(bytes, start, end);
    } catch (error) {
      this.end(Code.INTERNAL, `grpc: failed to unmarshal the received message ${(error as Error).message}`);
      return;
    }
    if (request.kind === "nothing") return;
    const pending: PendingRequest = {
      request,
      bytes: REQUEST_BYTES + end - start,
      answer: null,
      subscriber: null,
    };
    this.#pending.push(pending);
    this.#pendingBytes += pending.bytes;
    this.call.retain(pending.bytes);
    if (this.closed) return;
    this.#inquire(pending);
    this.advance();
  }

  /** Asks what the answer to a request depends on, as soon as it arrives. */
  #inquire(pending: PendingRequest): void {
    const { request } = pending;
    if (request.kind === "create") {
      const { callsLeft } = this.#owner;
      this.#owner.probe(this.token, request.checkedRange, request.startRevision, (answer) => {
        this.#onCreateAnswer(pending, request, answer, callsLeft);
      });
    } else if (request.kind === "cancel") {
      const subscriber = this.watches.get(request.watchId);
      // No further events; what the client is told waits for its turn.
      if (subscriber !== undefined) {
        subscriber.muted = true;
        this.#owner.release(subscriber);
      }
      this.#owner.probe(this.token, subscriber?.range ?? null, 0, (answer) => {
        pending.answer = answer;
        this.advance();
      });
    }
  }

  #onCreateAnswer(
    pending: PendingRequest,
    request: CreateRequest,
    answer: ProbeAnswer,
    askedAt: number,
  ): void {
    if (this.closed || this.#dismissal !== null) return;
    pending.answer = answer;
    if (answer.kind === "allowed" && request.range !== null && request.startRevision >= 0) {
      pending.subscriber = new Subscriber(this, request.range, request.options, request.startRevision);
      pending.subscriber.historyKnown = answer.historyKnown;
      pending.subscriber.provenAt = askedAt;
      this.#owner.prepare(pending.subscriber);
    }
    this.advance();
  }

  /** Answers the request whose turn it is; false while it has to wait. */
  #execute(pending: PendingRequest): boolean {
    const { request, answer } = pending;
    switch (request.kind) {
      case "create":
        return answer !== null && this.#create(request, answer, pending.subscriber);
      case "cancel":
        return answer !== null && this.#cancel(request.watchId, answer);
      case "progress":
        if (this.watches.size > 0) this.#owner.askProgress(this);
        return true;
      case "nothing":
        return true;
    }
  }

  #create(request: CreateRequest, answer: ProbeAnswer, subscriber: Subscriber | null): boolean {
    if (answer.kind === "failed") {
      this.end(answer.status.code, answer.status.message);
      return true;
    }
    if (answer.kind === "refused") return this.#refuse(answer.reason, answer.header);
    const { header } = answer;
    if (request.startRevision < 0) return this.#refuse(COMPACTED, header);
    if (subscriber === null) return this.#refuse(EMPTY_RANGE, header);
    if (subscriber.refusal !== null) {
      this.#owner.release(subscriber);
      return this.#refuse(subscriber.refusal, header);
    }
    if (request.watchId !== 0 && this.watches.has(request.watchId)) {
      this.#owner.release(subscriber);
      return this.#refuse(DUPLICATE_ID, header);
    }
    let revision = Math.max(header.revision, this.toldRevision);
    if (request.startRevision === 0) {
      const reached = this.#owner.reachedRevision(subscriber);
      if (reached === null) return false;
      revision = Math.max(revision, reached);
      subscriber.nextRevision = revision + 1;
    }
    subscriber.id = request.watchId === 0 ? this.#takeWatchId() : request.watchId;
    this.watches.set(subscriber.id, subscriber);
    this.call.retain(WATCH_BYTES);
    if (this.closed) return true; // The buffers were full, and this was the stream to give up.
    this.#tellCreated(subscriber.id, header, revision);
    this.#owner.start(subscriber);
    return true;
  }

  #refuse(cancelReason: string, header: AnswerHeader): boolean {
    const revision = Math.max(header.revision, this.toldRevision);
    this.#tell(NO_WATCH_ID, { header, revision, created: true, canceled: true, cancelReason });
    return true;
  }

  #cancel(watchId: WatchId, answer: ProbeAnswer): boolean {
    const subscriber = this.watches.get(watchId);
    // Unknown ids are passed over, as by etcd.
    if (subscriber === undefined) return true;
    this.#forget(subscriber);
    const header = answer.kind === "allowed" ? answer.header : (this.#owner.lastHeader ?? NO_HEADER);
    this.#tell(watchId, { header, revision: Math.max(header.revision, this.toldRevision), canceled: true });
    return true;
  }

  #tell(watchId: WatchId, answer: ControlAnswer): void {
    this.toldRevision = Math.max(this.toldRevision, answer.revision);
    this.queue.sendControl(watchId, controlBody(answer));
  }

  #tellCreated(watchId: WatchId, header: AnswerHeader, revision: number): void {
    this.toldRevision = Math.max(this.toldRevision, revision);
    this.queue.sendControl(watchId, createdBody(header, revision));
  }

  #takeWatchId(): number {
    while (this.watches.has(this.#nextWatchId)) this.#nextWatchId++;
    return this.#nextWatchId++;
  }

  #forget(subscriber: Subscriber): void {
    if (this.watches.get(subscriber.id) === subscriber) {
      this.watches.delete(subscriber.id);
      this.call.retain(-WATCH_BYTES);
    }
    this.#owner.release(subscriber);
  }

  #shift(pending: PendingRequest): void {
    if (this.#pending[this.#head] !== pending) return;
    this.#head++;
    this.#pendingBytes -= pending.bytes;
    this.call.retain(-pending.bytes);
    if (this.#head === this.#pending.length) {
      this.#pending.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#pending.splice(0, this.#head);
      this.#head = 0;
    }
    this.#giveCredit();
  }

  /** Lets the client send more, unless too many of its requests wait. */
  #giveCredit(): void {
    if (this.#owedCreditBytes === 0 || this.#pendingBytes > this.#owner.limits.requestBytesMax) return;
    const bytes = this.#owedCreditBytes;
    this.#owedCreditBytes = 0;
    this.call.consume(bytes);
  }
}

let lastCreated: { header: AnswerHeader; revision: number; body: Uint8Array } | null = null;

/** What `created` says: the same for all who were answered by one read. */
function createdBody(header: AnswerHeader, revision: number): Uint8Array {
  if (lastCreated?.header !== header || lastCreated.revision !== revision) {
    lastCreated = { header, revision, body: controlBody({ header, revision, created: true }) };
  }
  return lastCreated.body;
}

/** Stands in where no member has ever answered: nothing is known of the cluster. */
const NO_HEADER: AnswerHeader = { identity: new Uint8Array(0), revision: 0 };
/** etcd's own words. */
const EMPTY_RANGE = "mvcc: watcher range is empty";
const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
