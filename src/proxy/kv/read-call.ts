/**
 * A client's read, on its way to an answer: out of the cache, or of a read at a member that it shares.
 *
 * It keeps its own deadline, its own place among the calls that wait for a member, and its own count of repeats; only
 * what is asked of the member is shared.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { CallFailure } from "../../grpc/client-call.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { Repeats } from "../forward/repeats.ts";
import { SingleRequestCall } from "../forward/single-request-call.ts";
import type { Answer } from "./answer.ts";
import type { LargeAnswerTaker } from "./large-answer.ts";
import type { ReadScope } from "./read-scope.ts";
import type { Question, Reader, SharedRead } from "./shared-read.ts";
import { ReadGroup } from "./shared-read-table.ts";

/** What a read needs of those who serve it. */
export interface ReadCallOwner {
  readonly channel: Channel;
  readonly limits: ForwardLimits;
  /** The request is whole: answers it, asks for a `read`, or takes the call over. */
  onRequest(call: ReadCall): void;
  /** The call is to share the next read of its question. */
  join(call: ReadCall): void;
  /** Sends an answer. Returns who goes on sending it, or null when all of it was handed over. */
  sendAnswer(call: ServerCall, answer: Answer): LargeAnswerTaker | null;
}

export class ReadCall extends SingleRequestCall implements Reader {
  question: Question = NO_QUESTION;
  /** Of the question; null before there is one. */
  scope: ReadScope | null = null;
  read: SharedRead | null = null;
  readonly #owner: ReadCallOwner;
  /** The answer is streamed to it by its read. */
  #streaming = false;
  #taker: LargeAnswerTaker | null = null;

  constructor(call: ServerCall, owner: ReadCallOwner) {
    super(call, owner.channel, owner.limits);
    this.#owner = owner;
  }

  protected override onRequest(): void {
    this.#owner.onRequest(this);
  }

  /** Answers out of the cache. */
  answer(answer: Answer): void {
    this.#taker = this.#owner.sendAnswer(this.call, answer);
  }

  /** Reads at a member, with others of the scope. */
  ask(scope: ReadScope, question: Question): void {
    this.scope = scope;
    this.question = question;
    this.channel.begin(this);
  }

  // From the client.

  override onAnswerSent(bytes: number): void {
    if (this.#streaming) this.read?.onTaken(bytes);
    else if (this.#taker?.onSent(bytes) === true) this.#taker = null;
  }

  override onCancel(): void {
    this.channel.forget(this);
    this.#taker?.onCancel();
    const { read } = this;
    this.read = null;
    read?.remove(this);
  }

  // From the channel.

  protected override runOn(): void {
    this.#owner.join(this);
  }

  // From the read.

  onAnswer(answer: Answer): void {
    this.read = null;
    this.answer(answer);
  }

  onStreaming(): void {
    this.#streaming = true;
  }

  onFailure(failure: CallFailure): void {
    this.read = null;
    if (this.call.finished) return;
    if ((this.repeats ??= new Repeats()).after(failure, () => true)) this.channel.begin(this);
    else this.call.finishWithStatus(failure.status);
  }

  onRefusal(refusal: string, endpoint: Endpoint): void {
    this.read = null;
    if (this.call.finished) return;
    (this.repeats ??= new Repeats()).afterRefusal(refusal, endpoint);
    this.channel.begin(this);
  }
}

const NO_QUESTION: Question = { group: new ReadGroup(), text: "", cached: null, kind: "linearizable" };
