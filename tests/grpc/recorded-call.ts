/** A client's call without a client: what the one who answers it does is written down. */
import { CallHead } from "../../src/grpc/call-head.ts";
import type { MethodCounts } from "../../src/grpc/method-counts.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "../../src/grpc/server-call.ts";
import { readStatus, type Status } from "../../src/grpc/status.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";

export interface RecordedCallOptions {
  readonly path: string;
  readonly fields?: readonly HeaderField[];
  /** From now; without it the call has all the time. */
  readonly timeoutMs?: number;
}

export class RecordedCall implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs: number;
  /** The section that ended it, as it was sent. */
  trailers: readonly HeaderField[] = [];
  receiver: CallReceiver = NO_RECEIVER;
  counts: MethodCounts | null = null;
  finished = false;
  /** Header sections of the answer, the first first. */
  readonly heads: (readonly HeaderField[])[] = [];
  /** The messages of the answer so far, prefixes included. */
  answerBytes: Uint8Array = new Uint8Array(0);
  consumedBytes = 0;
  retainedBytes = 0;
  /** False: what is sent stays queued, as with a client that does not read. */
  takesAnswer = true;
  readonly #status = Promise.withResolvers<Status>();

  constructor(options: RecordedCallOptions) {
    const fields = [headerField("content-type", "application/grpc"), ...(options.fields ?? [])];
    this.head = new CallHead(options.path, fields);
    this.deadlineMs = performance.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
  }

  /** How the call ended, once it has. */
  get status(): Promise<Status> {
    return this.#status.promise;
  }

  /** The payload of the first message of the answer. */
  get answerText(): string {
    return new TextDecoder().decode(this.answerBytes.subarray(5));
  }

  /** The client sends a message and no more. */
  request(framedMessage: Uint8Array): void {
    this.receiver.onRequestBytes(framedMessage, 0, framedMessage.length);
    this.receiver.onRequestEnd();
  }

  sendHead(fields: readonly HeaderField[]): void {
    this.heads.push(fields);
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    this.answerBytes = Buffer.concat([this.answerBytes, bytes.subarray(start, end)]);
    return this.takesAnswer ? end - start : 0;
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    this.trailers = fields;
    this.#finish(readStatus(fields) ?? { code: -1, message: "no status" });
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    this.heads.push(fields);
    this.finishWithTrailers(fields);
  }

  finish(): void {
    this.#finish({ code: -1, message: "finished without a status" });
  }

  finishWithStatus(status: Status): void {
    this.#finish(status);
  }

  consume(bytes: number): void {
    this.consumedBytes += bytes;
  }

  retain(bytes: number): void {
    this.retainedBytes += bytes;
  }

  limitReached(): void {}

  #finish(status: Status): void {
    if (this.finished) return;
    this.finished = true;
    this.receiver = NO_RECEIVER;
    this.#status.resolve(status);
  }
}
