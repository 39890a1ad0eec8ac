/**
 * A client's unary call without a client: it takes as much of its answer as a test lets it.
 *
 * It keeps the rules of `Http2ServerCall`: what is not taken waits, the trailers behind it; whatever comes after the
 * end is dropped. What breaks the rules of `ServerCall` is written down.
 */
import { CallHead } from "../../../src/grpc/call-head.ts";
import { MESSAGE_PREFIX_BYTES } from "../../../src/grpc/message-scanner.ts";
import type { MethodCounts } from "../../../src/grpc/method-counts.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "../../../src/grpc/server-call.ts";
import { readStatus, type Status } from "../../../src/grpc/status.ts";
import { type HeaderField, headerField } from "../../../src/hpack/header-field.ts";

export interface ReadClientOptions {
  readonly path: string;
  readonly token?: string;
  readonly fields?: readonly HeaderField[];
  /** In milliseconds of the test's clock. */
  readonly deadlineMs?: number;
  /** Bytes of the answer that it takes without being told to. */
  readonly windowBytes?: number;
}

interface QueuedBytes {
  readonly view: Uint8Array;
  /** What the bytes were when they were handed over. */
  readonly asGiven: Uint8Array;
  left: number;
}

export class ReadClient implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs: number;
  receiver: CallReceiver = NO_RECEIVER;
  counts: MethodCounts | null = null;
  finished = false;
  /** How the proxy ended the call. */
  status: Status | undefined;
  cancelled = false;
  readonly heads: (readonly HeaderField[])[] = [];
  /** What the client has taken. */
  answerBytes: Uint8Array = new Uint8Array(0);
  windowBytes: number;
  retainedBytes = 0;
  readonly violations: string[] = [];
  /** Told when the answer begins. */
  onHead: () => void = () => {};
  /** Told when the proxy has ended the call. */
  onEnd: (status: Status) => void = () => {};
  readonly #queue: QueuedBytes[] = [];

  constructor({ path, token, fields, deadlineMs, windowBytes }: ReadClientOptions) {
    this.head = new CallHead(path, [
      headerField("content-type", "application/grpc"),
      ...(token === undefined ? [] : [headerField("token", token)]),
      ...(fields ?? []),
    ]);
    this.deadlineMs = deadlineMs ?? Number.POSITIVE_INFINITY;
    this.windowBytes = windowBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Bytes that wait for the client. */
  get queuedBytes(): number {
    return this.#queue.reduce((sum, { view, left }) => sum + view.length - left, 0);
  }

  /** The client has the end, and all that is before it. */
  get done(): boolean {
    return this.cancelled || (this.status !== undefined && this.#queue.length === 0);
  }

  /** The payload of the answer's message. */
  get payload(): Uint8Array {
    return this.answerBytes.subarray(MESSAGE_PREFIX_BYTES);
  }

  get text(): string {
    return new TextDecoder().decode(this.payload);
  }

  /** Sends the one request message, and no more. */
  request(framedMessage: Uint8Array): void {
    this.receiver.onRequestBytes(framedMessage, 0, framedMessage.length);
    this.receiver.onRequestEnd();
  }

  /** The client gives up, or its time is over. */
  cancel(): void {
    if (this.finished) return;
    const { receiver } = this;
    this.finished = true;
    this.cancelled = true;
    this.receiver = NO_RECEIVER;
    this.#queue.length = 0;
    receiver.onCancel("the client has gone");
  }

  /** The client takes `bytes` bytes more. */
  take(bytes: number): void {
    this.windowBytes += bytes;
    const leftBytes = this.#leave();
    if (leftBytes > 0) this.receiver.onAnswerSent(leftBytes);
  }

  sendHead(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    if (this.heads.length > 0) this.violations.push("a second head");
    else this.heads.push(fields);
    this.onHead();
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (this.finished || start === end) return end - start;
    if (this.heads.length === 0) this.violations.push("a message before the head");
    if (start > end || end > bytes.length)
      this.violations.push(`[${start}, ${end}) of ${bytes.length} bytes`);
    const view = bytes.subarray(start, end);
    const wasEmpty = this.#queue.length === 0;
    this.#queue.push({ view, asGiven: view.slice(), left: 0 });
    return wasEmpty ? this.#leave() : 0;
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    this.finishWithStatus(readStatus(fields) ?? { code: -1, message: "no status" });
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    this.sendHead(fields);
    this.finishWithTrailers(fields);
  }

  finish(): void {
    this.finishWithStatus({ code: -1, message: "finished without a status" });
  }

  finishWithStatus(status: Status): void {
    if (this.finished) return;
    this.finished = true;
    this.receiver = NO_RECEIVER;
    this.status = status;
    this.onEnd(status);
  }

  consume(): void {}

  retain(bytes: number): void {
    this.retainedBytes += bytes;
    if (this.retainedBytes < 0) this.violations.push("less than nothing is retained");
  }

  limitReached(): void {}

  #leave(): number {
    let total = 0;
    while (this.windowBytes > 0) {
      const first = this.#queue[0];
      if (first === undefined) break;
      const bytes = Math.min(this.windowBytes, first.view.length - first.left);
      const piece = first.view.subarray(first.left, first.left + bytes);
      if (!Buffer.from(piece).equals(first.asGiven.subarray(first.left, first.left + bytes))) {
        this.violations.push("bytes were changed before they had left");
      }
      first.left += bytes;
      this.windowBytes -= bytes;
      total += bytes;
      if (first.left === first.view.length) this.#queue.shift();
      this.answerBytes = Buffer.concat([this.answerBytes, piece]);
    }
    return total;
  }
}
