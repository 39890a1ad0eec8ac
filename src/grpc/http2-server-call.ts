/**
 * A call that came as gRPC over HTTP/2: the stream's events turned into a call's, and back.
 *
 * Also holds the call to its deadline: when it passes, the client is told and the receiver is cancelled.
 */
import { DeadlineEntry, type DeadlineTimer } from "../base/deadline-wheel.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import { ErrorCode } from "../http2/error-code.ts";
import type { Stream, StreamHandler, StreamReset } from "../http2/stream.ts";
import type { CallHead } from "./call-head.ts";
import { isOneMessage, MessageCounter } from "./message-counter.ts";
import type { MethodCounts } from "./method-counts.ts";
import { type CallLimitName, type CallReceiver, NO_RECEIVER, type ServerCall } from "./server-call.ts";
import { Code, type Status, statusCodeOf, statusOfReset, statusTrailers, trailersOnly } from "./status.ts";

/** Request bytes taken in behind an answer that did not wait for them. */
const DISCARDED_BYTES_MAX = 1024 * 1024;
/**
 * Who cancels a call so shortly before its deadline does it because of that: clients round what they tell of it, and
 * their clock is not ours.
 */
const DEADLINE_ROUNDING_MS = 5;

/** What all calls of a connection share. */
export interface Http2CallOwner {
  readonly deadlines: DeadlineTimer;
  /** The client's address. */
  readonly peer: string;
  onCallLimit(limit: CallLimitName, reason: string): void;
}

export class Http2ServerCall extends DeadlineEntry implements ServerCall, StreamHandler {
  readonly head: CallHead;
  readonly deadlineMs: number;
  receiver: CallReceiver = NO_RECEIVER;
  counts: MethodCounts | null = null;
  finished = false;
  readonly #stream: Stream;
  readonly #owner: Http2CallOwner;
  /** The caller speaks gRPC, not another protocol over HTTP/2. */
  readonly grpc: boolean;
  readonly #startedMs: number;
  /** Follow messages once they come in other pieces than one for each. */
  #received: MessageCounter | null = null;
  #sent: MessageCounter | null = null;
  #headSent = false;
  /** Request bytes that came after the answer. */
  #discardedBytes = 0;

  constructor(stream: Stream, head: CallHead, owner: Http2CallOwner, grpc: boolean) {
    super();
    this.head = head;
    this.#startedMs = stream.connection.nowMs;
    this.deadlineMs = this.#startedMs + head.timeoutMs;
    this.#stream = stream;
    this.#owner = owner;
    this.grpc = grpc;
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) owner.deadlines.add(this);
  }

  get peer(): string {
    return this.#owner.peer;
  }

  sendHead(fields: readonly HeaderField[]): void {
    if (this.finished || this.#headSent) return;
    this.#headSent = true;
    this.#stream.sendHeaders(fields, false);
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (this.finished) return end - start;
    if (this.counts !== null) this.#countSent(this.counts, bytes, start, end);
    return this.#stream.sendData(bytes, start, end, false);
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    this.#finish(statusCodeOf(fields));
    this.#stream.sendTrailers(fields);
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    this.#finish(statusCodeOf(fields));
    this.#stream.sendHeaders(fields, true);
  }

  finish(): void {
    if (this.finished) return;
    this.#finish(Code.UNKNOWN);
    this.#stream.sendEnd();
  }

  finishWithStatus(status: Status): void {
    if (this.#headSent) this.finishWithTrailers(statusTrailers(status));
    else this.finishWithHead(trailersOnly(status));
  }

  consume(bytes: number): void {
    this.#stream.consume(bytes);
  }

  retain(bytes: number): void {
    this.#stream.retain(bytes);
  }

  limitReached(limit: CallLimitName, reason: string): void {
    this.#owner.onCallLimit(limit, reason);
  }

  #finish(code: number): void {
    this.finished = true;
    if (this.counts !== null) this.counts.end(code, this.#startedMs);
    // A gRPC client that has its status stops sending. Some HTTP clients (curl 7) take the reset for a failure:
    // what they still send is taken in and dropped, up to a bound.
    if (this.grpc) this.#stream.resetAfterEnd = true;
    this.receiver = NO_RECEIVER;
    this.#owner.deadlines.remove(this);
  }

  override onDeadline(): void {
    if (this.finished) return;
    this.giveUp({ code: Code.DEADLINE_EXCEEDED, message: "context deadline exceeded" }, "deadline exceeded");
    // Queued answer bytes of a call that is out of time only cost memory.
    if (this.#stream.queuedBytes > 0) this.#stream.reset(ErrorCode.CANCEL);
  }

  /** Ends the call with `status` though its receiver has no answer: that is cancelled, for `reason`. */
  giveUp(status: Status, reason: string): void {
    if (this.finished) return;
    const receiver = this.receiver;
    this.finishWithStatus(status);
    receiver.onCancel(reason, status);
  }

  // From the stream.

  onResponse(): void {}

  onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    if (this.finished) {
      this.#discard(end - start);
      return;
    }
    const receiver = this.receiver;
    if (this.counts !== null) this.#countReceived(this.counts, bytes, start, end);
    if (end > start) receiver.onRequestBytes(bytes, start, end);
    if (endStream) receiver.onRequestEnd();
  }

  #discard(bytes: number): void {
    this.#discardedBytes += bytes;
    if (this.#discardedBytes > DISCARDED_BYTES_MAX) this.#stream.reset(ErrorCode.NO_ERROR);
    else this.#stream.consume(bytes);
  }

  onTrailers(): void {
    this.receiver.onRequestEnd();
  }

  onSent(bytes: number): void {
    this.receiver.onAnswerSent(bytes);
  }

  onReset(reset: StreamReset): void {
    if (this.finished) return;
    const receiver = this.receiver;
    this.#finish(this.#codeOf(reset));
    receiver.onCancel(reset.message);
  }

  /** What a call that was reset has ended with, for who counts: its client is told nothing. */
  #codeOf(reset: StreamReset): number {
    if (reset.cause === "self") return statusOfReset(reset.code, "").code;
    const inTime = this.#stream.connection.nowMs + DEADLINE_ROUNDING_MS < this.deadlineMs;
    return inTime ? Code.CANCELLED : Code.DEADLINE_EXCEEDED;
  }

  #countReceived(counts: MethodCounts, bytes: Uint8Array, start: number, end: number): void {
    if (this.#received === null && isOneMessage(bytes, start, end)) counts.messagesReceived++;
    else if (end > start) {
      counts.messagesReceived += (this.#received ??= new MessageCounter()).count(bytes, start, end);
    }
  }

  #countSent(counts: MethodCounts, bytes: Uint8Array, start: number, end: number): void {
    if (this.#sent === null && isOneMessage(bytes, start, end)) counts.messagesSent++;
    else if (end > start)
      counts.messagesSent += (this.#sent ??= new MessageCounter()).count(bytes, start, end);
  }
}
