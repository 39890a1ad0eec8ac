/**
 * A call that comes from inside this process: Connect's typed clients make it, the proxy's services answer it.
 *
 * With it a caller of another protocol passes the very lanes a gRPC caller passes, and typed clients reach
 * members through the channel like everybody else. It is the `httpClient` of a Connect gRPC transport.
 */
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import type { UniversalClientRequest, UniversalClientResponse } from "@connectrpc/connect/protocol";
import { copyBytes } from "../base/copy-bytes.ts";
import { type HeaderField, headerField } from "../hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { type AnswerMemory, HeldAnswer } from "./answer-memory.ts";
import { ByteQueue } from "./byte-queue.ts";
import { CallHead } from "./call-head.ts";
import { headersOf } from "./header-fields.ts";
import { COMPRESSED_MESSAGE, MessageReader } from "./message-reader.ts";
import { MESSAGE_PREFIX_BYTES } from "./message-scanner.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "./server-call.ts";
import { MessageCounter } from "./message-counter.ts";
import type { MethodCounts } from "./method-counts.ts";
import { Code, readStatus, type Status, statusCodeOf, statusTrailers, trailersOnly } from "./status.ts";

/** What may be gathered of an answer. Connect takes messages whole, and so they are handed to it. */
export interface AnswerBounds {
  /** The largest message, in bytes, and the most that one may take once it is decoded. */
  readonly messageBytesMax: number;
  /** Bounds all that is gathered together; without it nothing but `messageBytesMax` does. */
  readonly memory?: AnswerMemory;
  /** What the message `bytes[start, end)` that answers the method at `path` takes once it is decoded, in bytes. */
  readonly decodedBytes?: (path: string, bytes: Uint8Array, start: number, end: number) => number;
}

/** The bounds of calls whose answers are known to be small: a header, a list of members. */
export const SMALL_ANSWERS: AnswerBounds = { messageBytesMax: 1024 * 1024 };

/** Who answers the call: sets `call.receiver`. */
export type ServeCall = (call: ServerCall) => void;

/** Makes the call that `request` describes to `serve`. */
export function callInProcess(
  serve: ServeCall,
  request: UniversalClientRequest,
  bounds: AnswerBounds,
): Promise<UniversalClientResponse> {
  return new Promise((resolve, reject) => {
    const call = new InProcessCall(request, bounds, resolve, reject);
    if (call.finished) return;
    serve(call);
    void call.pump();
  });
}

class InProcessCall implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs: number;
  receiver: CallReceiver = NO_RECEIVER;
  counts: MethodCounts | null = null;
  finished = false;
  readonly #startedMs = performance.now();
  readonly #received = new MessageCounter();
  readonly #request: UniversalClientRequest;
  readonly #resolve: (response: UniversalClientResponse) => void;
  readonly #reject: (error: Error) => void;
  readonly #trailer = new Headers();
  readonly #body = new ByteQueue((bytes) => this.#onTaken(bytes));
  readonly #bounds: AnswerBounds;
  readonly #reader: MessageReader;
  readonly #unfinished: HeldAnswer;
  /** Of the message that is not whole yet, told to be sent: it is taken over, and may be larger than any window. */
  #aheadBytes = 0;
  /** Of whole messages that Connect has not taken, told to be sent before they were whole. */
  #toldBytes = 0;
  /** Of the piece that is being read, what belongs to messages that are whole. */
  #wholeBytes = 0;
  readonly #onAbort = (): void => this.#cancel("cancelled by the caller");
  #headSent = false;
  #unconsumedBytes = 0;
  #consumed: (() => void) | null = null;

  constructor(
    request: UniversalClientRequest,
    bounds: AnswerBounds,
    resolve: (response: UniversalClientResponse) => void,
    reject: (error: Error) => void,
  ) {
    const fields: HeaderField[] = [];
    request.header.forEach((value, name) => fields.push(headerField(name, value)));
    this.head = new CallHead(new URL(request.url).pathname, fields);
    this.deadlineMs = this.#startedMs + this.head.timeoutMs;
    this.#request = request;
    this.#bounds = bounds;
    this.#reader = new MessageReader(bounds.messageBytesMax);
    this.#unfinished = new HeldAnswer(bounds.memory, () =>
      this.#refuse("too large for the buffers there are"),
    );
    this.#resolve = resolve;
    this.#reject = reject;
    request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (request.signal?.aborted === true) this.#onAbort();
  }

  /** Hands the request's body to the receiver, never further ahead than a stream window. */
  async pump(): Promise<void> {
    try {
      for await (const bytes of this.#request.body ?? []) {
        if (this.finished) return;
        if (this.counts !== null) {
          this.counts.messagesReceived += this.#received.count(bytes, 0, bytes.length);
        }
        this.#unconsumedBytes += bytes.length;
        this.receiver.onRequestBytes(bytes, 0, bytes.length);
        while (this.#unconsumedBytes >= STREAM_WINDOW_BYTES && !this.finished) {
          await new Promise<void>((resolve) => {
            this.#consumed = resolve;
          });
        }
      }
      this.receiver.onRequestEnd();
    } catch (error) {
      this.#cancel(`the request broke off: ${String(error)}`);
    }
  }

  sendHead(fields: readonly HeaderField[]): void {
    if (this.finished || this.#headSent) return;
    this.#headSent = true;
    this.#resolve({
      status: Number(fields.find(({ name }) => name === ":status")?.value ?? 200),
      header: headersOf(fields),
      body: this.#body,
      trailer: this.#trailer,
    });
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (this.finished) return end - start;
    this.#wholeBytes = 0;
    const problem = this.#reader.read(bytes, start, end, this.#onMessage);
    if (problem === COMPRESSED_MESSAGE) this.#refuse("compressed", Code.INTERNAL);
    else if (problem !== -1) this.#refuse(`larger than max (${problem} vs. ${this.#bounds.messageBytesMax})`);
    if (this.finished) return end - start;
    this.#unfinished.holds(this.#reader.heldBytes);
    if (this.#wholeBytes === 0) {
      this.#aheadBytes += end - start;
      return end - start;
    }
    this.#toldBytes += this.#aheadBytes;
    this.#aheadBytes += end - start - this.#wholeBytes;
    return this.#aheadBytes;
  }

  readonly #onMessage = (bytes: Uint8Array, start: number, end: number): void => {
    if (this.finished) return;
    const decoded = this.#bounds.decodedBytes?.(this.head.path, bytes, start, end) ?? 0;
    if (decoded > this.#bounds.messageBytesMax) {
      this.#refuse(`larger than max once it is decoded (${decoded} vs. ${this.#bounds.messageBytesMax})`);
      return;
    }
    if (this.counts !== null) this.counts.messagesSent++;
    const prefix = new Uint8Array(MESSAGE_PREFIX_BYTES);
    new DataView(prefix.buffer).setUint32(1, end - start);
    this.#wholeBytes += MESSAGE_PREFIX_BYTES + end - start;
    this.#body.push(prefix);
    if (start === end) return;
    // A view keeps alive all that was received with it.
    const small = (end - start) * 4 < bytes.buffer.byteLength;
    this.#body.push(small ? copyBytes(bytes, start, end) : bytes.subarray(start, end));
  };

  /** Connect has taken `bytes` bytes of whole messages. */
  #onTaken(bytes: number): void {
    const told = Math.min(bytes, this.#toldBytes);
    this.#toldBytes -= told;
    if (bytes > told) this.receiver.onAnswerSent(bytes - told);
  }

  /** Nobody gathers the answer any further. */
  #refuse(why: string, code: number = Code.RESOURCE_EXHAUSTED): void {
    if (this.finished) return;
    const receiver = this.receiver;
    const status = { code, message: `grpc: received message ${why}` };
    this.finishWithStatus(status);
    receiver.onCancel(why, status);
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    headersOf(fields).forEach((value, name) => this.#trailer.append(name, value));
    // Connect is to see that the last message was cut short.
    if (this.#reader.heldBytes > 0 && readStatus(fields)?.code === Code.OK) this.#body.push(CUT_SHORT);
    this.#endWith(statusCodeOf(fields));
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    this.sendHead(fields);
    this.#endWith(statusCodeOf(fields));
  }

  finish(): void {
    this.#endWith(Code.UNKNOWN);
  }

  #endWith(code: number): void {
    if (!this.#end(code)) return;
    this.#body.end();
  }

  finishWithStatus(status: Status): void {
    if (this.#headSent) this.finishWithTrailers(statusTrailers(status));
    else this.finishWithHead(trailersOnly(status));
  }

  consume(bytes: number): void {
    this.#unconsumedBytes -= bytes;
    this.#wakePump();
  }

  /** What the call came by accounts for the request. */
  retain(): void {}

  /** The protocol that the call came by has limits of its own, and knows the client. */
  limitReached(): void {}

  #cancel(reason: string): void {
    const receiver = this.receiver;
    const cause: unknown = this.#request.signal?.reason;
    const outOfTime = cause instanceof ConnectError && cause.code === ConnectCode.DeadlineExceeded;
    if (!this.#end(outOfTime ? Code.DEADLINE_EXCEEDED : Code.CANCELLED)) return;
    const error = new ConnectError(reason, ConnectCode.Canceled);
    if (this.#headSent) this.#body.end(error);
    else this.#reject(error);
    receiver.onCancel(reason);
  }

  #end(code: number): boolean {
    if (this.finished) return false;
    this.finished = true;
    if (this.counts !== null) this.counts.end(code, this.#startedMs);
    this.#unfinished.holds(0);
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    this.#wakePump();
    return true;
  }

  #wakePump(): void {
    this.#consumed?.();
    this.#consumed = null;
  }
}

/** The beginning of a message. */
const CUT_SHORT = Uint8Array.of(0);
