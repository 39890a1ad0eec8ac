/**
 * Answers a call through one of Connect's universal handlers: gRPC, gRPC-Web and Connect's own protocol alike.
 *
 * Stands between a call over our HTTP/2 engine and the handlers that Connect makes from typed services. Both
 * directions keep their backpressure: the request is consumed as the handler reads it, and the answer waits
 * for the socket.
 */
import type { UniversalHandlerFn, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { type HeaderField, headerField } from "../hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { ByteQueue } from "./byte-queue.ts";
import { fieldsOf, headersOf } from "./header-fields.ts";
import type { CallReceiver, ServerCall } from "./server-call.ts";
import { Code, decodeMessage, encodeMessage } from "./status.ts";
import { WholeMessages } from "./whole-messages.ts";

/** What a piece of its request costs besides its bytes, about. */
const PIECE_BYTES = 256;

/** What a handler's requests look like. */
export interface RequestShape {
  /** One message, which the handler holds until the call is over, or a stream of them. */
  readonly messages: "one" | "many";
  /** The largest message, in bytes. */
  readonly messageBytesMax: number;
}

/** Content types whose messages come in envelopes, gRPC's or Connect's, which are the same. */
const ENVELOPED = /^application\/(?:grpc|connect\+)/;

/** Serves `call` by `handler`; `method` is the HTTP method it came with. */
export function serveUniversal(
  call: ServerCall,
  method: string,
  handler: UniversalHandlerFn,
  shape: RequestShape,
): void {
  const exchange = new UniversalExchange(call, shape);
  call.receiver = exchange;
  void exchange.run(method, handler);
}

class UniversalExchange implements CallReceiver {
  readonly #call: ServerCall;
  readonly #abort = new AbortController();
  readonly #body: ByteQueue;
  /** Null where the request is no run of messages, but one by itself. */
  readonly #whole: WholeMessages | null;
  /** The handler holds on to what it has taken. */
  readonly #holds: boolean;
  /** Bytes that the client has credit for, though the handler has not taken them: of messages that were not whole. */
  #creditedBytes = 0;
  #unsentBytes = 0;
  #sent: (() => void) | null = null;

  constructor(call: ServerCall, { messages, messageBytesMax }: RequestShape) {
    this.#call = call;
    this.#whole = ENVELOPED.test(call.head.contentType) ? new WholeMessages(messageBytesMax) : null;
    this.#holds = messages === "one" || this.#whole === null;
    this.#body = new ByteQueue((bytes) => this.#onTaken(bytes));
  }

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#whole === null) {
      this.#body.append(bytes, start, end);
      return;
    }
    const whole = this.#whole.add(bytes, start, end);
    if (whole.length > 0) {
      this.#body.push(whole);
      return;
    }
    // The rest of the message needs credit, or it could not be larger than the window.
    this.#creditedBytes += end - start;
    this.#call.consume(end - start);
    this.#call.retain(end - start);
  }

  onRequestEnd(): void {
    const rest = this.#whole?.rest();
    if (rest !== undefined && rest.length > 0) this.#body.push(rest);
    this.#body.end();
  }

  /** The handler has taken `bytes` bytes of the request. */
  #onTaken(bytes: number): void {
    const credited = Math.min(bytes, this.#creditedBytes);
    this.#creditedBytes -= credited;
    this.#call.consume(bytes - credited);
    this.#call.retain(this.#holds ? bytes - credited + PIECE_BYTES : -credited);
  }

  onAnswerSent(bytes: number): void {
    this.#unsentBytes -= bytes;
    this.#wakeSender();
  }

  onCancel(reason: string): void {
    const error = new Error(reason);
    this.#abort.abort(error);
    this.#body.end(error);
    this.#wakeSender();
  }

  async run(method: string, handler: UniversalHandlerFn): Promise<void> {
    const { head } = this.#call;
    try {
      await this.#send(
        await handler({
          httpVersion: "2.0",
          method,
          url: `http://etcdproxy${head.path}`,
          header: headersOf(head.metadata),
          body: this.#body,
          signal: this.#abort.signal,
        }),
      );
    } catch (error) {
      const message = `etcdproxy: ${error instanceof Error ? error.message : String(error)}`;
      this.#call.finishWithStatus({ code: Code.INTERNAL, message });
    }
  }

  async #send(response: UniversalServerResponse): Promise<void> {
    const call = this.#call;
    const fields = [headerField(":status", String(response.status)), ...fieldsOf(response.header)];
    call.sendHead(fields);
    for await (const bytes of response.body ?? []) {
      this.#unsentBytes += bytes.length - call.sendMessageBytes(bytes, 0, bytes.length);
      while (this.#unsentBytes >= STREAM_WINDOW_BYTES && !call.finished) {
        await new Promise<void>((resolve) => {
          this.#sent = resolve;
        });
      }
      if (call.finished) return;
    }
    const trailers = fieldsOf(response.trailer).map(asMembersEncode);
    if (trailers.length > 0) call.finishWithTrailers(trailers);
    else call.finish();
  }

  #wakeSender(): void {
    this.#sent?.();
    this.#sent = null;
  }
}

/**
 * Connect encodes more of a message than gRPC asks for (`:` among it), and not all clients undo that: grpc-js shows
 * `etcdserver%3A permission denied`.
 */
function asMembersEncode(field: HeaderField): HeaderField {
  const { name, value } = field;
  return name === "grpc-message" ? headerField(name, encodeMessage(decodeMessage(value))) : field;
}
