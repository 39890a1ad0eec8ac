/**
 * A call to a member: a stream of an upstream connection, read as gRPC.
 *
 * Stands between the channel's connections and whoever forwards or makes calls. An answer arrives as it came,
 * header sections and message bytes unchanged; whatever is no gRPC answer ends as one `CallFailure`.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import { ErrorCode } from "../http2/error-code.ts";
import type { ResponseHead } from "../http2/header-rules.ts";
import type { Stream, StreamHandler, StreamReset } from "../http2/stream.ts";
import { isGrpcContentType } from "./call-head.ts";
import { MessageScanner } from "./message-scanner.ts";
import { Code, type Status, statusOfHttp, statusOfReset } from "./status.ts";
import type { Upstream } from "./upstream.ts";

/** A call that got no answer of the member's own. */
export interface CallFailure {
  /** What to tell the client if nothing else helps. */
  readonly status: Status;
  /** The connection ended with the call: what the member did with it is unknown. */
  readonly connectionLost: boolean;
  /** The member provably did not run the call. */
  readonly neverProcessed: boolean;
  /** What answered is no etcd member. */
  readonly notEtcd: boolean;
}

/** Who is told of the answer. After `onAnswerHead` with `end`, `onAnswerTrailers` or `onFailure` nothing more comes. */
export interface ClientCallHandler {
  /** The header section as it came; `end`: it is all there is, and has the status. */
  onAnswerHead(fields: readonly HeaderField[], end: boolean): void;
  /** Bytes of the answer's messages, never changed afterwards; account for them with `consume`. */
  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void;
  onAnswerTrailers(fields: readonly HeaderField[]): void;
  onFailure(failure: CallFailure): void;
  /** Its member serves not all it should, and calls go to another one now: what can be asked there instead may be. */
  onMemberLeft?(reason: string): void;
  /** `bytes` bytes of the request have left the queue. */
  onRequestSent(bytes: number): void;
}

export class ClientCall implements StreamHandler {
  readonly upstream: Upstream;
  readonly #handler: ClientCallHandler;
  readonly #receiveBytesMax: number;
  #scanner: MessageScanner | null = null;
  #stream: Stream;

  /** Opens the call on a connection that `canOpen`. `receiveBytesMax` bounds each message of the answer. */
  constructor(
    upstream: Upstream,
    fields: readonly HeaderField[],
    receiveBytesMax: number,
    handler: ClientCallHandler,
  ) {
    this.upstream = upstream;
    this.#handler = handler;
    this.#receiveBytesMax = receiveBytesMax;
    this.#stream = upstream.connection.open(fields, false, this);
  }

  /** Sends bytes of request messages. Returns how many have left; `onRequestSent` reports the others. */
  sendMessageBytes(bytes: Uint8Array, start: number, end: number, halfClose: boolean): number {
    return this.#stream.sendData(bytes, start, end, halfClose);
  }

  halfClose(): void {
    this.#stream.sendEnd();
  }

  /** The caller is done with `bytes` bytes of the answer. */
  consume(bytes: number): void {
    this.#stream.consume(bytes);
  }

  /** Gives the call up; the handler hears no more. */
  cancel(): void {
    this.#stream.reset(ErrorCode.CANCEL);
  }

  /** The channel has turned to another member, because this one is not fit. */
  memberLeft(reason: string): void {
    this.#handler.onMemberLeft?.(reason);
  }

  // From the stream.

  onResponse(head: ResponseHead, endStream: boolean): void {
    if (head.status !== 200 || !isGrpcHead(head)) {
      const { code, message } = statusOfHttp(head.status, contentType(head));
      this.#fail({ code, message: `etcdproxy: ${this.upstream.endpoint.name}: ${message}` }, true);
    } else if (endStream && !hasStatus(head.fields)) {
      this.#failWithoutStatus();
    } else {
      if (endStream) this.#end();
      this.#handler.onAnswerHead(head.fields, endStream);
    }
  }

  onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    if (this.#receiveBytesMax < MESSAGE_BYTES_UNBOUNDED) {
      this.#scanner ??= new MessageScanner(this.#receiveBytesMax);
      const tooLong = this.#scanner.scan(bytes, start, end);
      if (tooLong >= 0) {
        const message = `grpc: received message larger than max (${tooLong} vs. ${this.#receiveBytesMax})`;
        this.#fail({ code: Code.RESOURCE_EXHAUSTED, message }, false);
        return;
      }
    }
    if (end > start) this.#handler.onAnswerBytes(bytes, start, end);
    if (endStream) this.#failWithoutStatus();
  }

  onTrailers(fields: readonly HeaderField[]): void {
    if (!hasStatus(fields)) {
      this.#failWithoutStatus();
      return;
    }
    this.#end();
    this.#handler.onAnswerTrailers(fields);
  }

  onSent(bytes: number): void {
    this.#handler.onRequestSent(bytes);
  }

  onReset(reset: StreamReset): void {
    const message = `etcdproxy: ${this.upstream.endpoint.name}: ${reset.message}`;
    const connectionLost = reset.cause === "connection";
    this.#handler.onFailure({
      status: connectionLost ? { code: Code.UNAVAILABLE, message } : statusOfReset(reset.code, message),
      connectionLost,
      neverProcessed: reset.neverProcessed,
      notEtcd: false,
    });
  }

  /** The answer is whole. A request that is not would keep its stream for ever: nobody sends its rest. */
  #end(): void {
    if (!this.#stream.closed) this.#stream.reset(ErrorCode.NO_ERROR);
  }

  #failWithoutStatus(): void {
    const message = `etcdproxy: ${this.upstream.endpoint.name}: the answer has no grpc-status`;
    this.#fail({ code: Code.UNKNOWN, message }, true);
  }

  #fail(status: Status, notEtcd: boolean): void {
    this.#stream.reset(ErrorCode.CANCEL);
    this.#handler.onFailure({ status, connectionLost: false, neverProcessed: false, notEtcd });
  }
}

/** The default of `--max-recv-bytes`: no message can be longer, so none needs checking. */
export const MESSAGE_BYTES_UNBOUNDED = 2_147_483_647;

let lastGrpcHead: ResponseHead | null = null;

/** Content type check; heads are shared by repeated answers, so the last one seen is nearly always this one. */
function isGrpcHead(head: ResponseHead): boolean {
  if (head === lastGrpcHead) return true;
  if (!isGrpcContentType(contentType(head))) return false;
  lastGrpcHead = head;
  return true;
}

function contentType(head: ResponseHead): string | undefined {
  return head.fields.find(({ name }) => name === "content-type")?.value;
}

let lastWithStatus: readonly HeaderField[] | null = null;

/** Trailer sections are shared by repeated answers as well. */
function hasStatus(fields: readonly HeaderField[]): boolean {
  if (fields === lastWithStatus) return true;
  if (!fields.some(({ name, value }) => name === "grpc-status" && /^[0-9]{1,3}$/.test(value))) return false;
  lastWithStatus = fields;
  return true;
}
