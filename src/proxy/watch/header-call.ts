/**
 * A unary call of the proxy's own that wants nothing of the answer but its header.
 *
 * Served like a client's call, so it is repeated and waits as those do. All answers of etcd have their
 * ResponseHeader in field 1.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import type { CallHead } from "../../grpc/call-head.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "../../grpc/server-call.ts";
import { Code, readStatus, type Status } from "../../grpc/status.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { RevisionReadHandler } from "./watch-calls.ts";

/** How long a member may take: a stopped one must not keep clients waiting for ever. */
const TIMEOUT_MS = 10_000;
/** What is kept of an answer: its prefix and its header, which is about forty bytes long. */
const KEPT_BYTES_MAX = 1024;
/** ResponseHeader is the first field: tag, then a length of one byte, since a header is short. */
const HEADER_TAG = 0x0a;

export class HeaderCall implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs = performance.now() + TIMEOUT_MS;
  receiver: CallReceiver = NO_RECEIVER;
  /** It is no client's. */
  readonly counts = null;
  finished = false;
  readonly #handler: RevisionReadHandler;
  readonly #answer = new ByteWriter();
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(head: CallHead, handler: RevisionReadHandler) {
    this.head = head;
    this.#handler = handler;
    this.#timer = setTimeout(() => this.#onDeadline(), TIMEOUT_MS);
  }

  /** Makes the call with a request message. */
  request(message: Uint8Array): void {
    const framed = new ByteWriter();
    framed.writeByte(0);
    framed.writeUint32(message.length);
    framed.write(message);
    this.receiver.onRequestBytes(framed.bytes, 0, framed.length);
    this.receiver.onRequestEnd();
  }

  // From who serves it.

  sendHead(): void {}

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    const keptTo = Math.min(end, start + KEPT_BYTES_MAX - this.#answer.length);
    if (!this.finished && keptTo > start) this.#answer.write(bytes, start, keptTo);
    return end - start;
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    this.finishWithStatus(readStatus(fields) ?? { code: Code.UNKNOWN, message: "" });
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    this.finishWithTrailers(fields);
  }

  finish(): void {
    this.finishWithStatus({ code: Code.UNKNOWN, message: "the answer has no grpc-status" });
  }

  finishWithStatus(status: Status): void {
    if (this.finished) return;
    this.finished = true;
    this.receiver = NO_RECEIVER;
    clearTimeout(this.#timer);
    if (status.code === Code.OK) this.#handHeaderOn();
    else this.#handler.onFailed(status);
  }

  consume(): void {}

  retain(): void {}

  limitReached(): void {}

  #handHeaderOn(): void {
    const { bytes, length } = this.#answer;
    const start = MESSAGE_PREFIX_BYTES + 2;
    const end = start + (bytes[MESSAGE_PREFIX_BYTES + 1] ?? 0);
    if (bytes[MESSAGE_PREFIX_BYTES] === HEADER_TAG && end <= length)
      this.#handler.onHeader(bytes, start, end);
    else
      this.#handler.onFailed({
        code: Code.INTERNAL,
        message: "etcdproxy: the member's answer has no header",
      });
  }

  #onDeadline(): void {
    const receiver = this.receiver;
    this.finishWithStatus({ code: Code.UNAVAILABLE, message: "etcdproxy: the member does not answer" });
    receiver.onCancel("deadline exceeded");
  }
}
