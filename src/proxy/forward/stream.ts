/**
 * Forwards a call whose request is a stream (or whose method we do not know) to a member, as bytes both ways.
 *
 * Stands between a client's call and the channel. Only the beginning of the request is kept, and only until the
 * answer begins, for the member that provably never saw it (REFUSED_STREAM, GOAWAY); otherwise a stream is never
 * repeated. While it waits for a connection it holds at most its stream window. The credit of each side waits for
 * the other side's socket.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { ChannelCall } from "../../grpc/channel-options.ts";
import type { CallFailure, ClientCallHandler } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import { MessageScanner } from "../../grpc/message-scanner.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import { readStatus, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { EndlessForward } from "../endless-calls.ts";
import type { AnswerEffects } from "./answer-effects.ts";
import { EndlessAnswer } from "./endless-answer.ts";
import { type ForwardLimits, NEVER_PROCESSED_REPEATS_MAX, requestTooLarge } from "./forward-limits.ts";
import { callUpstream, endUnserved } from "./upstream-call.ts";

/** Request bytes kept until the answer begins: enough for the first message of a watch, or a heartbeat. */
const KEPT_BYTES_MAX = 4 * 1024;

export class StreamForward implements CallReceiver, ClientCallHandler, ChannelCall, EndlessForward {
  readonly #call: ServerCall;
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #scanner: MessageScanner;
  readonly #effects: AnswerEffects | null;
  /** Null: the call ends by itself. */
  readonly #endless: EndlessAnswer | null;
  #upstreamCall: MemberCall | null = null;
  /**
   * The request so far; null once it cannot be sent again. Before the connection its bytes are not consumed,
   * so the client's window bounds them, later `KEPT_BYTES_MAX` does.
   */
  #kept: ByteWriter | null = new ByteWriter();
  #requestEnded = false;
  #neverProcessedRepeats = 0;
  /** Of this attempt. */
  #sentBytes = 0;
  /** Of all attempts: the client gets its credit once. */
  #consumedBytes = 0;

  constructor(
    call: ServerCall,
    channel: Channel,
    limits: ForwardLimits,
    effects: AnswerEffects | null,
    endless: boolean,
  ) {
    this.#call = call;
    this.#channel = channel;
    this.#limits = limits;
    this.#scanner = new MessageScanner(limits.sendBytesMax);
    this.#effects = effects;
    this.#endless = endless ? new EndlessAnswer() : null;
    call.receiver = this;
    channel.begin(this);
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    const tooLong = this.#scanner.scan(bytes, start, end);
    if (tooLong >= 0) {
      this.onCancel();
      const status = requestTooLarge(tooLong, this.#limits);
      this.#call.limitReached("messageSize", status.message);
      this.#call.finishWithStatus(status);
      return;
    }
    this.#kept?.write(bytes, start, end);
    if (this.#upstreamCall !== null) this.#send(this.#upstreamCall, bytes, start, end);
  }

  onRequestEnd(): void {
    this.#requestEnded = true;
    this.#upstreamCall?.halfClose();
  }

  onAnswerSent(bytes: number): void {
    this.#upstreamCall?.consume(bytes);
  }

  onCancel(): void {
    this.#channel.forget(this);
    this.#upstreamCall?.cancel();
    this.#effects?.beforeEnd(null, null);
  }

  /** For a call that is endless. */
  dismiss(status: Status): void {
    this.#endless?.dismiss(status);
    this.#endIfDue();
  }

  get finished(): boolean {
    return this.#call.finished;
  }

  // From the channel.

  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }

  get heldBytes(): number {
    return this.#kept?.length ?? 0;
  }

  avoids(_endpoint: Endpoint): boolean {
    return false;
  }

  onUpstream(upstream: Upstream): void {
    const upstreamCall = callUpstream(this.#call, upstream, this.#limits, this);
    this.#upstreamCall = upstreamCall;
    this.#sentBytes = 0;
    const kept = this.#kept;
    if (kept !== null && kept.length > 0) this.#send(upstreamCall, kept.bytes, 0, kept.length);
    if (this.#requestEnded) upstreamCall.halfClose();
  }

  onWaitedInVain(why: "time" | "full"): void {
    this.#effects?.beforeEnd(null, null);
    endUnserved(this.#call, this.#channel, why);
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    this.#kept = null;
    if (end) {
      this.#noteRefusal(fields);
      this.#effects?.beforeEnd(null, readStatus(fields) ?? null);
      this.#call.finishWithHead(fields);
    } else {
      this.#call.sendHead(fields);
    }
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#effects?.beforePiece(null, bytes, start, end, false);
    const sentEnd = this.#endless?.follow(bytes, start, end) ?? end;
    const sentBytes = this.#call.sendMessageBytes(bytes, start, sentEnd);
    if (sentBytes > 0) this.#upstreamCall?.consume(sentBytes);
    this.#endIfDue();
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.#noteRefusal(fields);
    this.#effects?.beforeEnd(null, readStatus(fields) ?? null);
    this.#call.finishWithTrailers(fields);
  }

  onRequestSent(bytes: number): void {
    this.#sentBytes += bytes;
    if (this.#sentBytes <= this.#consumedBytes) return;
    this.#call.consume(this.#sentBytes - this.#consumedBytes);
    this.#consumedBytes = this.#sentBytes;
  }

  onFailure(failure: CallFailure): void {
    const upstreamCall = this.#upstreamCall;
    this.#upstreamCall = null;
    if (failure.notEtcd && upstreamCall !== null) {
      this.#channel.leave(upstreamCall.upstream, failure.status.message);
    }
    if (
      failure.neverProcessed &&
      this.#kept !== null &&
      this.#neverProcessedRepeats < NEVER_PROCESSED_REPEATS_MAX
    ) {
      this.#neverProcessedRepeats++;
      this.#channel.begin(this);
    } else {
      this.#effects?.beforeEnd(null, null);
      this.#call.finishWithStatus(failure.status);
    }
  }

  #endIfDue(): void {
    const status = this.#endless?.due ?? null;
    if (status === null || this.finished) return;
    this.#call.finishWithStatus(status);
    this.onCancel();
  }

  #send(upstreamCall: MemberCall, bytes: Uint8Array, start: number, end: number): void {
    if (this.#kept !== null && this.#kept.length > KEPT_BYTES_MAX) this.#kept = null;
    const sentBytes = upstreamCall.sendMessageBytes(bytes, start, end, false);
    if (sentBytes > 0) this.onRequestSent(sentBytes);
  }

  #noteRefusal(trailers: readonly HeaderField[]): void {
    const refusal = memberRefusal(trailers);
    if (refusal !== undefined && this.#upstreamCall !== null) {
      this.#channel.leave(this.#upstreamCall.upstream, refusal);
    }
  }
}
