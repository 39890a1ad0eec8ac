/**
 * Forwards a call with one request message (unary or server-streaming) to a member, as bytes.
 *
 * Stands between a client's call and the channel. The request is kept until the answer begins, so that it can be
 * sent again where the contract allows: a read once per endpoint after its connection was lost, anything when
 * it provably never ran. The head of the answer is held back until there is something behind it, so a repeated
 * read is not seen by its client. Answer bytes pass as they come, and the member is given new credit when they
 * have left towards the client.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import { isRepeatableRead } from "../../etcd/repeatable-reads.ts";
import type { Channel, ChannelCall } from "../../grpc/channel.ts";
import type { CallFailure, ClientCall, ClientCallHandler } from "../../grpc/client-call.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import {
  CALL_BYTES,
  type ForwardLimits,
  NEVER_PROCESSED_REPEATS_MAX,
  requestTooLarge,
} from "./forward-limits.ts";
import { callUpstream, endUnserved } from "./upstream-call.ts";
import { EXTRA, RequestMessage } from "./request-message.ts";

/**
 * A unary answer is of no use to its client before the trailers, which members often send in a packet of their own:
 * holding a first piece of up to this size saves a write for each call.
 */
const HELD_BYTES_MAX = 16 * 1024;

export class SingleRequestForward implements CallReceiver, ClientCallHandler, ChannelCall {
  readonly #call: ServerCall;
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #request: RequestMessage;
  #upstreamCall: ClientCall | null = null;
  readonly #unary: boolean;
  /** The answer's head, and the first piece of a unary one, held back until there is more to send. */
  #heldHead: readonly HeaderField[] | null = null;
  #heldPiece: { bytes: Uint8Array; start: number; end: number } | null = null;
  #answerBegun = false;
  /** Endpoints on which the call was repeated. */
  #repeatedOn: string[] | null = null;
  #neverProcessedRepeats = 0;
  /** Why the last attempt failed; what the client hears when no further one is allowed. */
  #lastFailure: Status | null = null;
  #avoided: string | null = null;

  /** `unary`: the answer is one message, too. */
  constructor(call: ServerCall, channel: Channel, limits: ForwardLimits, unary: boolean) {
    this.#call = call;
    this.#channel = channel;
    this.#limits = limits;
    this.#unary = unary;
    this.#request = new RequestMessage(limits.sendBytesMax);
    call.receiver = this;
    call.retain(CALL_BYTES);
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    const keptBefore = this.#request.keptBytes;
    const problem = this.#request.add(bytes, start, end);
    this.#call.consume(end - start);
    this.#call.retain(this.#request.keptBytes - keptBefore);
    if (problem === -1) return;
    if (problem === EXTRA) {
      this.#call.finishWithStatus({ code: Code.INTERNAL, message: "the method takes one request message" });
    } else {
      this.#call.finishWithStatus(requestTooLarge(problem, this.#limits));
    }
  }

  onRequestEnd(): void {
    if (!this.#request.whole) {
      this.#call.finishWithStatus({ code: Code.INTERNAL, message: "the request message is cut short" });
      return;
    }
    this.#channel.begin(this);
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
    return this.#request.keptBytes;
  }

  avoids(endpoint: Endpoint): boolean {
    return endpoint.name === this.#avoided;
  }

  onUpstream(upstream: Upstream): void {
    if (this.#lastFailure !== null && !this.#mayRepeatOn(upstream.endpoint)) {
      this.#call.finishWithStatus(this.#lastFailure);
      return;
    }
    const { bytes, start, end } = this.#request;
    this.#upstreamCall = callUpstream(this.#call, upstream, this.#limits, this);
    this.#upstreamCall.sendMessageBytes(bytes, start, end, true);
  }

  onWaitedInVain(why: "time" | "full"): void {
    endUnserved(this.#call, this.#channel, why);
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (!end) {
      this.#heldHead = fields;
    } else if (!this.#repeatedElsewhere(fields)) {
      this.#call.finishWithHead(fields);
    }
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#answerBegun = true;
    if (this.#unary && this.#heldHead !== null && this.#heldPiece === null && end - start <= HELD_BYTES_MAX) {
      this.#heldPiece = { bytes, start, end };
      return;
    }
    this.#release();
    this.#sendPiece(bytes, start, end);
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    if (this.#repeatedElsewhere(fields)) return;
    this.#release();
    this.#call.finishWithTrailers(fields);
  }

  onRequestSent(): void {}

  onFailure(failure: CallFailure): void {
    const upstreamCall = this.#upstreamCall;
    this.#upstreamCall = null;
    this.#heldHead = null;
    this.#heldPiece = null;
    this.#lastFailure = failure.status;
    if (failure.notEtcd && upstreamCall !== null) {
      this.#channel.leave(upstreamCall.upstream, failure.status.message);
    }
    if (this.#answerBegun || this.#call.finished) {
      this.#call.finishWithStatus(failure.status);
    } else if (failure.neverProcessed && this.#neverProcessedRepeats < NEVER_PROCESSED_REPEATS_MAX) {
      this.#neverProcessedRepeats++;
      this.#lastFailure = null;
      this.#channel.begin(this);
    } else if (failure.connectionLost && this.#isRead()) {
      this.#channel.begin(this);
    } else {
      this.#call.finishWithStatus(failure.status);
    }
  }

  #release(): void {
    if (this.#heldHead === null) return;
    this.#call.sendHead(this.#heldHead);
    this.#heldHead = null;
    const piece = this.#heldPiece;
    if (piece === null) return;
    this.#heldPiece = null;
    this.#sendPiece(piece.bytes, piece.start, piece.end);
  }

  #sendPiece(bytes: Uint8Array, start: number, end: number): void {
    const sentBytes = this.#call.sendMessageBytes(bytes, start, end);
    if (sentBytes > 0) this.#upstreamCall?.consume(sentBytes);
  }

  /** Deals with a member that refuses to serve at all. True when the call was sent elsewhere instead. */
  #repeatedElsewhere(trailers: readonly HeaderField[]): boolean {
    if (trailers === lastGoodTrailers) return false;
    const refusal = memberRefusal(trailers);
    if (refusal === undefined) {
      lastGoodTrailers = trailers;
      return false;
    }
    const { upstream } = this.#upstreamCall!;
    this.#channel.leave(upstream, refusal);
    if (this.#answerBegun || !this.#isRead()) return false;
    this.#upstreamCall = null;
    this.#heldHead = null;
    this.#lastFailure = { code: Code.UNAVAILABLE, message: refusal };
    this.#avoided = upstream.endpoint.name;
    this.#channel.begin(this);
    return true;
  }

  #isRead(): boolean {
    return isRepeatableRead(this.#call.head.path, this.#request.framed.subarray(MESSAGE_PREFIX_BYTES));
  }

  /** Notes a repeat on `endpoint`; false when there was one already. */
  #mayRepeatOn(endpoint: Endpoint): boolean {
    this.#repeatedOn ??= [];
    if (this.#repeatedOn.includes(endpoint.name)) return false;
    this.#repeatedOn.push(endpoint.name);
    return true;
  }
}

/** Repeated trailer sections are one array, so the check of the last one nearly always holds for this one. */
let lastGoodTrailers: readonly HeaderField[] | null = null;
