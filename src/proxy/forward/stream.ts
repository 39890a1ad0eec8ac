/**
 * Forwards a call whose request is a stream (or whose method we do not know) to a member, as bytes both ways.
 *
 * Stands between a client's call and the channel. Nothing is kept once it has left, so a stream is never
 * repeated; while it waits for a connection it holds at most its stream window. The credit of each side waits
 * for the other side's socket.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import type { Channel, ChannelCall } from "../../grpc/channel.ts";
import { type CallFailure, ClientCall, type ClientCallHandler } from "../../grpc/client-call.ts";
import { MessageScanner } from "../../grpc/message-scanner.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import { type ForwardLimits, requestTooLarge, TOO_MANY_WAITING } from "./forward-limits.ts";

export class StreamForward implements CallReceiver, ClientCallHandler, ChannelCall {
  readonly #call: ServerCall;
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #scanner: MessageScanner;
  #upstreamCall: ClientCall | null = null;
  /** Request bytes that came before the connection; not consumed, so the client's window bounds them. */
  #early: Uint8Array[] = [];
  #requestEnded = false;

  constructor(call: ServerCall, channel: Channel, limits: ForwardLimits) {
    this.#call = call;
    this.#channel = channel;
    this.#limits = limits;
    this.#scanner = new MessageScanner(limits.sendBytesMax);
    call.receiver = this;
    channel.begin(this);
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    const tooLong = this.#scanner.scan(bytes, start, end);
    if (tooLong >= 0) {
      this.onCancel();
      this.#call.finishWithStatus(requestTooLarge(tooLong, this.#limits));
    } else if (this.#upstreamCall === null) {
      this.#early.push(bytes.slice(start, end));
    } else {
      this.#send(this.#upstreamCall, bytes, start, end);
    }
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
  }

  // From the channel.

  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }

  get heldBytes(): number {
    return this.#early.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  avoids(_endpoint: Endpoint): boolean {
    return false;
  }

  onUpstream(upstream: Upstream): void {
    const { head, deadlineMs } = this.#call;
    const leftMs = deadlineMs === Number.POSITIVE_INFINITY ? deadlineMs : deadlineMs - performance.now();
    const fields = head.upstreamFields(upstream.endpoint.name, leftMs);
    const upstreamCall = new ClientCall(upstream, fields, this.#limits.receiveBytesMax, this);
    this.#upstreamCall = upstreamCall;
    for (const bytes of this.#early) this.#send(upstreamCall, bytes, 0, bytes.length);
    this.#early = [];
    if (this.#requestEnded) upstreamCall.halfClose();
  }

  onWaitedInVain(why: "time" | "full"): void {
    this.#call.finishWithStatus(why === "full" ? TOO_MANY_WAITING : this.#channel.unavailable());
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (end) {
      this.#noteRefusal(fields);
      this.#call.finishWithHead(fields);
    } else {
      this.#call.sendHead(fields);
    }
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    const sentBytes = this.#call.sendMessageBytes(bytes, start, end);
    if (sentBytes > 0) this.#upstreamCall?.consume(sentBytes);
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.#noteRefusal(fields);
    this.#call.finishWithTrailers(fields);
  }

  onRequestSent(bytes: number): void {
    this.#call.consume(bytes);
  }

  onFailure(failure: CallFailure): void {
    this.#upstreamCall = null;
    this.#call.finishWithStatus(failure.status);
  }

  #send(upstreamCall: ClientCall, bytes: Uint8Array, start: number, end: number): void {
    const sentBytes = upstreamCall.sendMessageBytes(bytes, start, end, false);
    if (sentBytes > 0) this.#call.consume(sentBytes);
  }

  #noteRefusal(trailers: readonly HeaderField[]): void {
    const refusal = memberRefusal(trailers);
    if (refusal !== undefined && this.#upstreamCall !== null) {
      this.#channel.leave(this.#upstreamCall.upstream, refusal);
    }
  }
}
