/**
 * A call that comes from inside this process: Connect's typed clients make it, the proxy's services answer it.
 *
 * With it a caller of another protocol passes the very lanes a gRPC caller passes, and typed clients reach
 * members through the channel like everybody else. It is the `httpClient` of a Connect gRPC transport.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalClientRequest, UniversalClientResponse } from "@connectrpc/connect/protocol";
import { copyBytes } from "../base/copy-bytes.ts";
import { type HeaderField, headerField } from "../hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { ByteQueue } from "./byte-queue.ts";
import { CallHead } from "./call-head.ts";
import { headersOf } from "./header-fields.ts";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "./server-call.ts";
import { type Status, statusTrailers, trailersOnly } from "./status.ts";

/** Who answers the call: sets `call.receiver`. */
export type ServeCall = (call: ServerCall) => void;

/** Makes the call that `request` describes to `serve`. */
export function callInProcess(
  serve: ServeCall,
  request: UniversalClientRequest,
): Promise<UniversalClientResponse> {
  return new Promise((resolve, reject) => {
    const call = new InProcessCall(request, resolve, reject);
    if (call.finished) return;
    serve(call);
    void call.pump();
  });
}

class InProcessCall implements ServerCall {
  readonly head: CallHead;
  readonly deadlineMs: number;
  receiver: CallReceiver = NO_RECEIVER;
  finished = false;
  readonly #request: UniversalClientRequest;
  readonly #resolve: (response: UniversalClientResponse) => void;
  readonly #reject: (error: Error) => void;
  readonly #trailer = new Headers();
  readonly #body = new ByteQueue((bytes) => this.receiver.onAnswerSent(bytes));
  readonly #onAbort = (): void => this.#cancel("cancelled by the caller");
  #headSent = false;
  #unconsumedBytes = 0;
  #consumed: (() => void) | null = null;

  constructor(
    request: UniversalClientRequest,
    resolve: (response: UniversalClientResponse) => void,
    reject: (error: Error) => void,
  ) {
    const fields: HeaderField[] = [];
    request.header.forEach((value, name) => fields.push(headerField(name, value)));
    this.head = new CallHead(new URL(request.url).pathname, fields);
    this.deadlineMs = performance.now() + this.head.timeoutMs;
    this.#request = request;
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
    // A view keeps alive all that was received with it.
    const small = (end - start) * 4 < bytes.buffer.byteLength;
    this.#body.push(small ? copyBytes(bytes, start, end) : bytes.subarray(start, end));
    return 0;
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    if (this.finished) return;
    headersOf(fields).forEach((value, name) => this.#trailer.append(name, value));
    this.finish();
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    this.sendHead(fields);
    this.finish();
  }

  finish(): void {
    if (!this.#end()) return;
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
    if (!this.#end()) return;
    const error = new ConnectError(reason, Code.Canceled);
    if (this.#headSent) this.#body.end(error);
    else this.#reject(error);
    receiver.onCancel(reason);
  }

  #end(): boolean {
    if (this.finished) return false;
    this.finished = true;
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    this.#wakePump();
    return true;
  }

  #wakePump(): void {
    this.#consumed?.();
    this.#consumed = null;
  }
}
