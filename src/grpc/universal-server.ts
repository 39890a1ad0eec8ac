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
import { MessageScanner } from "./message-scanner.ts";
import type { CallReceiver, ServerCall } from "./server-call.ts";
import { Code, decodeMessage, encodeMessage } from "./status.ts";

/** What a call in Connect's hands costs besides its request's bytes, about. */
const EXCHANGE_BYTES = 8 * 1024;

/**
 * Serves `call` by `handler`; `method` is the HTTP method it came with. `messages`: whether the request is one message,
 * which the handler holds on to, or a stream of them, of which it holds the one that is not whole.
 */
export function serveUniversal(
  call: ServerCall,
  method: string,
  handler: UniversalHandlerFn,
  messages: "one" | "many" = "one",
): void {
  const exchange = new UniversalExchange(call, messages === "many" ? new MessageScanner(Infinity) : null);
  call.receiver = exchange;
  void exchange.run(method, handler);
}

class UniversalExchange implements CallReceiver {
  readonly #call: ServerCall;
  readonly #abort = new AbortController();
  readonly #body: ByteQueue;
  /** Follows the messages of a request that has many: Connect's envelopes are gRPC's. Null: it has one. */
  readonly #boundaries: MessageScanner | null;
  /** Bytes of the request that the handler may hold. */
  #takenBytes = 0;
  #unsentBytes = 0;
  #sent: (() => void) | null = null;

  constructor(call: ServerCall, boundaries: MessageScanner | null) {
    this.#call = call;
    this.#boundaries = boundaries;
    this.#body = new ByteQueue((bytes) => this.#onTaken(bytes));
    call.retain(EXCHANGE_BYTES);
  }

  /** The handler has taken `bytes` bytes of the request, and may hold on to them. */
  #onTaken(bytes: number): void {
    this.#call.consume(bytes);
    this.#takenBytes += bytes;
    this.#call.retain(bytes);
    if (this.#boundaries?.atBoundary !== true) return;
    this.#call.retain(-this.#takenBytes);
    this.#takenBytes = 0;
  }

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#boundaries?.scan(bytes, start, end);
    this.#body.push(bytes.subarray(start, end));
  }

  onRequestEnd(): void {
    this.#body.end();
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
