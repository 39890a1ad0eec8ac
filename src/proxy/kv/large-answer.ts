/**
 * A large answer that callers take as fast as each of them reads: a piece at a time waits in a caller's stream, the
 * rest here, once for all of them.
 */
import type { ServerCall } from "../../grpc/server-call.ts";
import { Code } from "../../grpc/status.ts";
import type { Answer } from "./answer.ts";
import type { AnswerHolder, AnswerMemory } from "../../grpc/answer-memory.ts";

export class LargeAnswer implements AnswerHolder {
  readonly #answer: Answer;
  readonly #memory: AnswerMemory;
  readonly #pieceBytes: number;
  readonly #takers = new Set<LargeAnswerTaker>();

  constructor(answer: Answer, memory: AnswerMemory, pieceBytes: number) {
    this.#answer = answer;
    this.#memory = memory;
    this.#pieceBytes = pieceBytes;
  }

  get heldBytes(): number {
    return this.#takers.size === 0 ? 0 : this.#answer.bytes.length;
  }

  /** Begins to send it to `call`. Returns who takes it, or null when all of it has left. */
  sendTo(call: ServerCall): LargeAnswerTaker | null {
    call.sendHead(this.#answer.head);
    const taker = new LargeAnswerTaker(call, this.#answer, this.#pieceBytes, this);
    return taker.sendMore() ? null : taker;
  }

  /** Callers do not read, and their memory is needed. */
  giveUp(): void {
    for (const taker of [...this.#takers]) taker.giveUp();
  }

  /** For takers: one has to wait. */
  waits(taker: LargeAnswerTaker): void {
    if (this.#takers.has(taker)) return;
    this.#takers.add(taker);
    if (this.#takers.size === 1) this.#memory.changed(this, this.#answer.bytes.length);
  }

  /** For takers: one is done. */
  leaves(taker: LargeAnswerTaker): void {
    if (!this.#takers.delete(taker) || this.#takers.size > 0) return;
    this.#memory.changed(this, -this.#answer.bytes.length);
  }
}

export class LargeAnswerTaker {
  readonly #call: ServerCall;
  readonly #answer: Answer;
  readonly #pieceBytes: number;
  readonly #owner: LargeAnswer;
  #at: number;
  /** Of the last piece, what has not left. */
  #unsentBytes = 0;

  constructor(call: ServerCall, answer: Answer, pieceBytes: number, owner: LargeAnswer) {
    this.#call = call;
    this.#answer = answer;
    this.#pieceBytes = pieceBytes;
    this.#owner = owner;
    this.#at = answer.start;
  }

  /** Sends until the caller does not take more at once; true when that was all. */
  sendMore(): boolean {
    const { bytes, end, trailers } = this.#answer;
    while (this.#unsentBytes === 0 && this.#at < end && !this.#call.finished) {
      const at = this.#at;
      this.#at = Math.min(end, at + this.#pieceBytes);
      this.#unsentBytes += this.#at - at - this.#call.sendMessageBytes(bytes, at, this.#at);
    }
    const done = this.#at === end || this.#call.finished;
    if (!done) {
      this.#owner.waits(this);
      return false;
    }
    this.#owner.leaves(this);
    this.#call.finishWithTrailers(trailers);
    return true;
  }

  /** `bytes` bytes that had to wait have left. True when there is nothing more to send. */
  onSent(bytes: number): boolean {
    this.#unsentBytes -= bytes;
    return this.sendMore();
  }

  onCancel(): void {
    this.#owner.leaves(this);
  }

  giveUp(): void {
    this.#owner.leaves(this);
    this.#call.finishWithStatus({
      code: Code.RESOURCE_EXHAUSTED,
      message: "etcdproxy: the answer is not read, and buffers are full",
    });
  }
}
