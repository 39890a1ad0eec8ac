/**
 * One read at a member, and the callers who wait for its answer.
 *
 * Callers join until it is sent, none afterwards: so it is as new as each of them may expect. Its answer is gathered
 * and handed to all; one that is too large for that is streamed to the first of them, and the others read again.
 * Whatever happens to one caller, the read goes on for the rest.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { CallFailure, ClientCallHandler } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import type { ChannelCall } from "../../grpc/channel-options.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import { Code, readStatus } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { RequestMessage } from "../forward/request-message.ts";
import type { Answer } from "./answer.ts";
import type { AnswerHolder, AnswerMemory } from "../../grpc/answer-memory.ts";
import type { CachedReadTable } from "./cached-read.ts";
import type { ReadLimits } from "./read-limits.ts";
import type { ReadGroup, TableEntry } from "./shared-read-table.ts";

/**
 * `linearizable`: the answer shows all that was acknowledged before it was asked for. `serializable` ones may not, and
 * of `others`, which are no Ranges, nobody has looked.
 */
export type QuestionKind = "linearizable" | "serializable" | "others";

/** What is asked. */
export interface Question {
  /** Where those who ask the same find each other. */
  readonly group: ReadGroup;
  readonly text: string;
  /** Where the answer may be kept; null: it may not. */
  readonly cached: CachedReadTable | null;
  readonly kind: QuestionKind;
}

/** A caller who waits for the answer. */
export interface Reader extends ChannelCall {
  readonly call: ServerCall;
  readonly question: Question;
  readonly request: RequestMessage;
  /** The read that he waits for. */
  read: SharedRead | null;
  /** The whole answer. */
  onAnswer(answer: Answer): void;
  /** It is streamed from here on: `onTaken` is to be told what has left later. */
  onStreaming(): void;
  /** There is none; the read may be made again. */
  onFailure(failure: CallFailure): void;
  /** The member does not serve; the read is to be made again. */
  onRefusal(refusal: string, endpoint: Endpoint): void;
}

/** What reads need of those who send them. */
export interface SharedReadOwner {
  readonly limits: ReadLimits;
  readonly receiveBytesMax: number;
  readonly memory: AnswerMemory;
  /** A member cannot be used, as it said, or as its answer shows. */
  leave(upstream: Upstream, reason: string): void;
  /** The answer is whole, and good. Returns whether it was kept. */
  onGoodAnswer(read: SharedRead, answer: Answer): boolean;
  /** The read is over. `kept`: the cache has its answer. */
  onOver(read: SharedRead, kept: boolean): void;
  /** Nobody waits for it any more; it goes on. */
  onAbandoned(read: SharedRead): void;
  /** Those of `readers` have to read each for himself, behind `read`. */
  onDivided(read: SharedRead, readers: Reader[]): void;
}

type State = "waiting" | "in flight" | "streaming" | "over";

export class SharedRead implements ClientCallHandler, AnswerHolder, TableEntry {
  readonly question: Question;
  readonly request: RequestMessage;
  /** In the order in which they came. */
  readers: Reader[];
  tableHash = 0;
  tableNext: TableEntry | null = null;
  /** The read that waits until this one is over. */
  next: SharedRead | null = null;
  /** The answer is known to be too large to be shared: each reader gets one of his own. */
  large = false;
  /** The next read does not wait for it any more. */
  detached = false;
  /** Turns that it has waited for more callers, and how many there were at the end of the last one. */
  turnsGathered = 0;
  readersGathered = 0;
  sentAtMs = 0;
  /** The cache's `epoch` and `floorRevision` when it was sent. */
  sentEpoch = 0;
  sentFloor = 0;
  readonly #owner: SharedReadOwner;
  #state: State = "waiting";
  #upstreamCall: MemberCall | null = null;
  #head: readonly HeaderField[] = NO_FIELDS;
  /** The first piece, which most answers have only one of. */
  #piece: { bytes: Uint8Array; start: number; end: number } | null = null;
  /** How much of the answer has come. */
  #answerBytes = 0;
  /** All pieces, when there are several. While streaming: a copy for the cache. */
  #gathered: ByteWriter | null = null;
  heldBytes = 0;
  /** Bytes that wait for the caller it is streamed to, and are credited already. */
  #creditedBytes = 0;

  constructor(owner: SharedReadOwner, reader: Reader) {
    this.#owner = owner;
    this.question = reader.question;
    this.request = reader.request;
    this.readers = [reader];
    reader.read = this;
  }

  /** A caller joins. */
  add(reader: Reader): void {
    this.readers.push(reader);
    reader.read = this;
  }

  /** Callers may join. */
  get waiting(): boolean {
    return this.#state === "waiting";
  }

  get over(): boolean {
    return this.#state === "over";
  }

  get upstream(): Upstream | null {
    return this.#upstreamCall?.upstream ?? null;
  }

  /** Sends it. `path` is its method's, `fields` the request section. */
  send(upstream: Upstream, path: string, fields: readonly HeaderField[]): void {
    const { bytes, start, end } = this.request;
    this.#state = "in flight";
    this.#upstreamCall = upstream.openCall(path, fields, this.#owner.receiveBytesMax, this);
    this.#upstreamCall.sendMessageBytes(bytes, start, end, true);
  }

  /** A caller has gone. */
  remove(reader: Reader): void {
    const at = this.readers.indexOf(reader);
    if (at < 0) return;
    this.readers.splice(at, 1);
    if (this.readers.length > 0 || this.#state === "waiting") return;
    if (this.#state === "streaming" || this.detached) this.cancel();
    else this.#owner.onAbandoned(this);
  }

  /** The caller it is streamed to has taken `bytes` bytes that had to wait. */
  onTaken(bytes: number): void {
    const credited = Math.min(bytes, this.#creditedBytes);
    this.#creditedBytes -= credited;
    this.#upstreamCall?.consume(bytes - credited);
  }

  /** Gives the read up; nobody waits for it. */
  cancel(): void {
    if (this.#state === "over") return;
    this.#upstreamCall?.cancel();
    this.#end(false);
  }

  /** Ends a read that was not sent. */
  drop(): Reader[] {
    const { readers } = this;
    this.readers = [];
    this.#state = "over";
    return readers;
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (!end) this.#head = fields;
    else if (!this.#readAgainElsewhere(fields)) {
      for (const { call } of this.#end(false)) call.finishWithHead(fields);
    }
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#answerBytes += end - start;
    if (this.#state === "streaming") {
      this.#stream(bytes, start, end);
      return;
    }
    if (this.#piece === null && this.#gathered === null && end - start <= this.#owner.limits.heldBytesMax) {
      this.#piece = { bytes, start, end };
      return;
    }
    if (this.readers.length === 0) {
      this.cancel();
    } else if (this.readers.length === 1 && this.#gathered === null) {
      this.#beginStreaming();
      this.#stream(bytes, start, end);
    } else {
      this.#gather(bytes, start, end);
    }
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.large = this.#answerBytes > this.#owner.limits.sharedAnswerBytesMax;
    if (this.#state === "streaming") {
      const kept = this.#gathered !== null && isOk(fields) && this.#keepCopy(fields);
      for (const { call } of this.#end(kept)) call.finishWithTrailers(fields);
      return;
    }
    if (this.#readAgainElsewhere(fields)) return;
    const answer = this.#wholeAnswer(fields);
    const kept = isOk(fields) && this.#owner.onGoodAnswer(this, answer);
    for (const reader of this.#end(kept)) reader.onAnswer(answer);
  }

  onRequestSent(): void {}

  onMemberLeft(reason: string): void {
    const upstreamCall = this.#upstreamCall;
    if (upstreamCall === null || this.#answerBytes > 0) return;
    upstreamCall.cancel();
    for (const reader of this.#end(false)) reader.onRefusal(reason, upstreamCall.upstream.endpoint);
  }

  onFailure(failure: CallFailure): void {
    const upstreamCall = this.#upstreamCall;
    if (failure.notEtcd && upstreamCall !== null) {
      this.#owner.leave(upstreamCall.upstream, failure.status.message);
    }
    const begun = this.#state === "streaming";
    for (const reader of this.#end(false)) {
      if (begun) reader.call.finishWithStatus(failure.status);
      else reader.onFailure(failure);
    }
  }

  // Memory.

  giveUp(): void {
    if (this.#state === "streaming") this.#forgetGathered();
    else this.#divide();
  }

  /** Ends it, and returns who waited. */
  #end(kept: boolean): Reader[] {
    const { readers } = this;
    this.readers = [];
    this.#state = "over";
    this.#piece = null;
    this.#forgetGathered();
    this.#upstreamCall = null;
    this.#owner.onOver(this, kept);
    return readers;
  }

  /** Deals with a member that refuses to serve at all. True when the read is made again elsewhere. */
  #readAgainElsewhere(fields: readonly HeaderField[]): boolean {
    const refusal = memberRefusal(fields);
    if (refusal === undefined) return false;
    const { upstream } = this.#upstreamCall!;
    this.#owner.leave(upstream, refusal);
    if (this.#piece !== null || this.#gathered !== null) return false;
    for (const reader of this.#end(false)) reader.onRefusal(refusal, upstream.endpoint);
    return true;
  }

  #wholeAnswer(trailers: readonly HeaderField[]): Answer {
    const gathered = this.#gathered;
    if (gathered !== null) {
      return { head: this.#head, bytes: gathered.bytes, start: 0, end: gathered.length, trailers };
    }
    const { bytes, start, end } = this.#piece ?? NO_PIECE;
    return { head: this.#head, bytes, start, end, trailers };
  }

  // Gathering.

  #gather(bytes: Uint8Array, start: number, end: number): void {
    const { limits, memory } = this.#owner;
    const gathered = (this.#gathered ??= new ByteWriter());
    const before = gathered.length;
    if (this.#piece !== null) gathered.write(this.#piece.bytes, this.#piece.start, this.#piece.end);
    this.#piece = null;
    gathered.write(bytes, start, end);
    // They are taken over: the member may send as many more.
    this.#upstreamCall?.consume(gathered.length - before);
    this.#holds(gathered.bytes.length);
    const tooLarge = gathered.length > limits.sharedAnswerBytesMax;
    if (tooLarge || memory.budgetedBytes > limits.gatheredBytesMax) this.#divide();
  }

  #holds(bytes: number): void {
    const change = bytes - this.heldBytes;
    if (change === 0) return;
    this.heldBytes = bytes;
    this.#owner.memory.changed(this, change);
  }

  #forgetGathered(): void {
    this.#gathered = null;
    this.#holds(0);
  }

  /** The answer cannot be shared: the first reader gets it as it comes. */
  #divide(): void {
    const gathered = this.#gathered;
    if (gathered === null || this.#state !== "in flight") return;
    const [first, ...others] = this.readers;
    this.#forgetGathered();
    if (first === undefined) {
      this.cancel();
      return;
    }
    this.large = true;
    this.readers = [first];
    if (others.length > 0) this.#owner.onDivided(this, others);
    this.#state = "streaming";
    first.onStreaming();
    first.call.sendHead(this.#head);
    this.#creditedBytes = gathered.length - first.call.sendMessageBytes(gathered.bytes, 0, gathered.length);
  }

  // Streaming.

  #beginStreaming(): void {
    const { call } = this.readers[0]!;
    this.#state = "streaming";
    this.readers[0]!.onStreaming();
    call.sendHead(this.#head);
    const piece = this.#piece;
    this.#piece = null;
    if (this.question.cached !== null && !this.large) this.#gathered = new ByteWriter();
    if (piece !== null) this.#stream(piece.bytes, piece.start, piece.end);
  }

  #stream(bytes: Uint8Array, start: number, end: number): void {
    this.#copy(bytes, start, end);
    const reader = this.readers[0];
    if (reader === undefined) return;
    const sentBytes = reader.call.sendMessageBytes(bytes, start, end);
    if (sentBytes > 0) this.#upstreamCall?.consume(sentBytes);
  }

  /** Copies what is streamed, for the cache, as long as that may be. */
  #copy(bytes: Uint8Array, start: number, end: number): void {
    const gathered = this.#gathered;
    if (gathered === null) return;
    const { limits, memory } = this.#owner;
    gathered.write(bytes, start, end);
    this.#holds(gathered.bytes.length);
    const tooLarge = gathered.length > limits.sharedAnswerBytesMax;
    if (tooLarge || memory.budgetedBytes > limits.gatheredBytesMax) this.#forgetGathered();
  }

  #keepCopy(trailers: readonly HeaderField[]): boolean {
    return this.#owner.onGoodAnswer(this, this.#wholeAnswer(trailers));
  }
}

const NO_FIELDS: readonly HeaderField[] = [];
const NO_PIECE = { bytes: new Uint8Array(0), start: 0, end: 0 };

let lastGoodTrailers: readonly HeaderField[] | null = null;

/** Repeated trailer sections are one array, so the check of the last one nearly always holds for this one. */
function isOk(trailers: readonly HeaderField[]): boolean {
  if (trailers === lastGoodTrailers) return true;
  if (readStatus(trailers)?.code !== Code.OK) return false;
  lastGoodTrailers = trailers;
  return true;
}
