/**
 * A client's Watch call without a client: it reads as much as a test lets it, when it lets it.
 *
 * It holds the hub to the rules of `ServerCall`: the head first and once, nothing after the end, and bytes that have
 * not left are not changed.
 */
import { CallHead } from "../../../src/grpc/call-head.ts";
import { MESSAGE_PREFIX_BYTES } from "../../../src/grpc/message-scanner.ts";
import type { MethodCounts } from "../../../src/grpc/method-counts.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "../../../src/grpc/server-call.ts";
import { readStatus, type Status } from "../../../src/grpc/status.ts";
import { type HeaderField, headerField } from "../../../src/hpack/header-field.ts";

interface QueuedBytes {
  readonly view: Uint8Array;
  readonly asGiven: Uint8Array;
  left: number;
}

export interface ClientCallHandler {
  onMessage(message: Uint8Array): void;
  onStatus(status: Status): void;
  /** The hub did what it must not. */
  onViolation(text: string): void;
}

export class ClientCall implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  receiver: CallReceiver = NO_RECEIVER;
  counts: MethodCounts | null = null;
  finished = false;
  heads = 0;
  sentBytes = 0;
  consumedBytes = 0;
  retainedBytes = 0;
  /** Bytes of answers that may still leave. */
  windowBytes = 0;
  /** Bytes of answers that have been handed over and have not left. */
  queuedBytes = 0;
  /** Bytes that have left without the hub being told yet. */
  unreportedBytes = 0;
  readonly #handler: ClientCallHandler;
  #queue: QueuedBytes[] = [];
  /** How the call ends behind what is queued. */
  #status: Status | null = null;
  /** What has left and is no whole message yet. */
  #partial: Uint8Array = new Uint8Array(0);

  constructor(token: string, requireLeader: boolean, handler: ClientCallHandler) {
    const fields = [headerField("content-type", "application/grpc")];
    if (token !== "") fields.push(headerField("token", token));
    if (requireLeader) fields.push(headerField("hasleader", "true"));
    this.head = new CallHead("/etcdserverpb.Watch/Watch", fields);
    this.#handler = handler;
  }

  /** Sends request bytes, in a buffer with something else around them. */
  sendRequestBytes(bytes: Uint8Array): void {
    const buffer = new Uint8Array(bytes.length + 4).fill(0xee);
    buffer.set(bytes, 2);
    this.sentBytes += bytes.length;
    this.receiver.onRequestBytes(buffer, 2, buffer.length - 2);
  }

  /** The client gives up. */
  reset(reason: string): void {
    const { receiver } = this;
    if (this.finished) return;
    this.#end();
    this.#queue = [];
    this.queuedBytes = 0;
    receiver.onCancel(reason);
  }

  /** The client is willing to read `bytes` bytes more. What leaves is reported by `report`. */
  read(bytes: number): void {
    this.windowBytes += bytes;
    const leftBytes = this.#leave();
    if (!this.finished) this.unreportedBytes += leftBytes;
    this.#tellStatus();
  }

  report(): void {
    const bytes = this.unreportedBytes;
    this.unreportedBytes = 0;
    if (bytes > 0) this.receiver.onAnswerSent(bytes);
  }

  sendHead(): void {
    if (++this.heads > 1) this.#handler.onViolation("a second head");
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (this.finished) return end - start;
    if (this.heads === 0) this.#handler.onViolation("a message before the head");
    if (end < start || end > bytes.length)
      this.#handler.onViolation(`[${start}, ${end}) of ${bytes.length} bytes`);
    const view = bytes.subarray(start, end);
    const wasEmpty = this.#queue.length === 0;
    this.#queue.push({ view, asGiven: view.slice(), left: 0 });
    this.queuedBytes += view.length;
    return wasEmpty ? this.#leave() : 0;
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    this.#finish(readStatus(fields) ?? { code: -1, message: "no status" });
  }

  finishWithHead(fields: readonly HeaderField[]): void {
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
    if (bytes < 0 || this.consumedBytes > this.sentBytes)
      this.#handler.onViolation("consumed more than was sent");
  }

  retain(bytes: number): void {
    this.retainedBytes += bytes;
  }

  limitReached(): void {}

  /** Lets bytes leave as far as the window goes; returns how many. */
  #leave(): number {
    let total = 0;
    while (this.windowBytes > 0) {
      const first = this.#queue[0];
      if (first === undefined) break;
      const bytes = Math.min(this.windowBytes, first.view.length - first.left);
      const piece = first.view.subarray(first.left, first.left + bytes);
      if (!Buffer.from(piece).equals(first.asGiven.subarray(first.left, first.left + bytes))) {
        this.#handler.onViolation("bytes were changed before they had left");
      }
      first.left += bytes;
      this.windowBytes -= bytes;
      this.queuedBytes -= bytes;
      total += bytes;
      if (first.left === first.view.length) this.#queue.shift();
      this.#take(piece.slice());
    }
    return total;
  }

  #take(piece: Uint8Array): void {
    let bytes: Uint8Array = Buffer.concat([this.#partial, piece]);
    while (bytes.length >= MESSAGE_PREFIX_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      if (view.getUint8(0) !== 0) this.#handler.onViolation("a message with a flag");
      const end = MESSAGE_PREFIX_BYTES + view.getUint32(1);
      if (bytes.length < end) break;
      this.#handler.onMessage(bytes.slice(MESSAGE_PREFIX_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#partial = bytes;
  }

  #finish(status: Status): void {
    if (this.finished) return;
    this.#end();
    this.#status = status;
    this.#tellStatus();
  }

  #tellStatus(): void {
    if (this.#status === null || this.#queue.length > 0) return;
    this.#handler.onStatus(this.#status);
    this.#status = null;
  }

  #end(): void {
    this.finished = true;
    this.receiver = NO_RECEIVER;
    this.unreportedBytes = 0;
  }
}
