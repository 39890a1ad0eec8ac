/**
 * Forwards a call with one request message (unary or server-streaming) to a member, as bytes.
 *
 * Stands between a client's call and the channel. The request is kept until the answer begins, so that it can be
 * sent again where the contract allows: a read once per endpoint after its connection was lost, anything when
 * it provably never ran. The head of the answer is held back until there is something behind it, so a repeated
 * read is not seen by its client. Answer bytes pass as they come, and the member is given new credit when they
 * have left towards the client.
 */
import { memberRefusal } from "../../etcd/member-refusal.ts";
import { isRepeatableRead } from "../../etcd/repeatable-reads.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { CallFailure, ClientCallHandler } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import { readStatus, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { EndlessForward } from "../endless-calls.ts";
import type { AnswerEffects } from "./answer-effects.ts";
import { EndlessAnswer } from "./endless-answer.ts";
import type { ForwardLimits } from "./forward-limits.ts";
import { Repeats } from "./repeats.ts";
import type { RequestMessage } from "./request-message.ts";
import { SingleRequestCall } from "./single-request-call.ts";
import { callUpstream } from "./upstream-call.ts";

/**
 * A unary answer is of no use to its client before the trailers, which members often send in a packet of their own:
 * holding a first piece of up to this size saves a write for each call.
 */
const HELD_BYTES_MAX = 16 * 1024;

export class SingleRequestForward extends SingleRequestCall implements ClientCallHandler, EndlessForward {
  readonly spreads = true;
  readonly #unary: boolean;
  readonly #effects: AnswerEffects | null;
  /** Set where the call does not end by itself. */
  #endless: EndlessAnswer | null = null;
  #upstreamCall: MemberCall | null = null;
  /** The answer's head, and the first piece of a unary one, held back until there is more to send. */
  #heldHead: readonly HeaderField[] | null = null;
  #heldPiece: { bytes: Uint8Array; start: number; end: number } | null = null;
  #answerBegun = false;
  #pieceSent = false;

  /** `unary`: the answer is one message, too. `request`: it is whole already, and `begin` is to be called. */
  constructor(
    call: ServerCall,
    channel: Channel,
    limits: ForwardLimits,
    unary: boolean,
    effects: AnswerEffects | null = null,
    request?: RequestMessage,
  ) {
    super(call, channel, limits, request);
    this.#unary = unary;
    this.#effects = effects;
  }

  /** The call goes on for as long as its client likes: to be said before its answer begins. */
  followEndless(): void {
    this.#endless = new EndlessAnswer();
  }

  /** For a call that is endless. */
  dismiss(status: Status): void {
    this.#endless?.dismiss(status);
    this.#endIfDue();
  }

  get finished(): boolean {
    return this.call.finished;
  }

  /** Sends a request on that was whole from the start. */
  begin(): void {
    this.channel.begin(this);
  }

  // From the client.

  protected override onRequest(): void {
    this.channel.begin(this);
  }

  override onAnswerSent(bytes: number): void {
    this.#upstreamCall?.consume(bytes);
  }

  override onCancel(): void {
    this.channel.forget(this);
    this.#upstreamCall?.cancel();
    if (!this.#pieceSent) this.#effects?.beforeEnd(this.request, null);
  }

  // From the channel.

  protected override runOn(upstream: Upstream): void {
    const { bytes, start, end } = this.request;
    this.#upstreamCall = callUpstream(this.call, upstream, this.limits, this);
    this.#upstreamCall.sendMessageBytes(bytes, start, end, true);
  }

  override onWaitedInVain(why: "time" | "full"): void {
    this.#effects?.beforeEnd(this.request, null);
    super.onWaitedInVain(why);
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (!end) {
      this.#heldHead = fields;
    } else if (!this.#repeatedElsewhere(fields)) {
      this.#effects?.beforeEnd(this.request, readStatus(fields) ?? null);
      this.call.finishWithHead(fields);
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
    if (!this.#pieceSent) this.#effects?.beforeEnd(this.request, readStatus(fields) ?? null);
    this.call.finishWithTrailers(fields);
  }

  onRequestSent(): void {}

  onMemberLeft(reason: string): void {
    const upstreamCall = this.#upstreamCall;
    if (upstreamCall === null || this.#answerBegun || this.call.finished || !this.#isRead()) return;
    this.#upstreamCall = null;
    this.#heldHead = null;
    upstreamCall.cancel();
    (this.repeats ??= new Repeats()).afterRefusal(reason, upstreamCall.upstream.endpoint);
    this.channel.begin(this);
  }

  onFailure(failure: CallFailure): void {
    const upstreamCall = this.#upstreamCall;
    this.#upstreamCall = null;
    this.#heldHead = null;
    this.#heldPiece = null;
    if (failure.notEtcd && upstreamCall !== null) {
      this.channel.leave(upstreamCall.upstream, failure.status.message);
    }
    const mayRepeat = !this.#answerBegun && !this.call.finished;
    if (mayRepeat && (this.repeats ??= new Repeats()).after(failure, () => this.#isRead())) {
      this.channel.begin(this);
    } else {
      this.finishWithStatus(failure.status);
    }
  }

  #release(): void {
    if (this.#heldHead === null) return;
    this.call.sendHead(this.#heldHead);
    this.#heldHead = null;
    const piece = this.#heldPiece;
    if (piece === null) return;
    this.#heldPiece = null;
    this.#sendPiece(piece.bytes, piece.start, piece.end);
  }

  #sendPiece(bytes: Uint8Array, start: number, end: number): void {
    this.#effects?.beforePiece(this.request, bytes, start, end, !this.#pieceSent);
    this.#pieceSent = true;
    const sentEnd = this.#endless?.follow(bytes, start, end) ?? end;
    const sentBytes = this.call.sendMessageBytes(bytes, start, sentEnd);
    if (sentBytes > 0) this.#upstreamCall?.consume(sentBytes);
    if (this.#endless !== null) this.#endIfDue();
  }

  #endIfDue(): void {
    const status = this.#endless?.due ?? null;
    if (status === null || this.finished) return;
    this.call.finishWithStatus(status);
    this.onCancel();
  }

  protected override finishWithStatus(status: Status): void {
    if (!this.#pieceSent) this.#effects?.beforeEnd(this.request, null);
    super.finishWithStatus(status);
  }

  /** Deals with a member that refuses to serve at all. True when the call was sent elsewhere instead. */
  #repeatedElsewhere(trailers: readonly HeaderField[]): boolean {
    const refusal = memberRefusal(trailers);
    if (refusal === undefined) return false;
    const { upstream } = this.#upstreamCall!;
    this.channel.leave(upstream, refusal);
    if (this.#answerBegun || !this.#isRead()) return false;
    this.#upstreamCall = null;
    this.#heldHead = null;
    (this.repeats ??= new Repeats()).afterRefusal(refusal, upstream.endpoint);
    this.channel.begin(this);
    return true;
  }

  #isRead(): boolean {
    return isRepeatableRead(this.call.head.path, this.request.framed.subarray(MESSAGE_PREFIX_BYTES));
  }
}
