/**
 * A client that can behave as real ones must not: stop reading, hold windows closed, vanish without a word.
 *
 * It makes gRPC calls over a connection of its own. Answers are counted, not kept, unless a test takes them.
 */
import {
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  create,
  toBinary,
} from "@bufbuild/protobuf";
import type { Socket } from "bun";
import { methodPath } from "../../src/etcd/services.ts";
import { Http2Socket } from "../../src/grpc/http2-socket.ts";
import { readStatus, type Status } from "../../src/grpc/status.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";
import { ClientConnection } from "../../src/http2/client-connection.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";
import { HTTP2_LIMITS } from "../../src/http2/limits.ts";
import { defaultSettings, WINDOW_BYTES_MAX } from "../../src/http2/settings.ts";
import type { Stream, StreamHandler } from "../../src/http2/stream.ts";
import { parseAddress } from "../../src/net/address.ts";
import { framed } from "../grpc/stand-in-member.ts";

/** Told of each piece of an answer; it returns true to give the sender credit for it at once. */
export type TakePiece = (bytes: Uint8Array) => boolean;

export class RawCall implements StreamHandler {
  receivedBytes = 0;
  /** It has ended, in whatever way. */
  over = false;
  readonly #stream: Stream;
  readonly #take: TakePiece;
  readonly #firstBytes = Promise.withResolvers<void>();
  readonly #status = Promise.withResolvers<Status>();

  constructor(
    client: ClientConnection,
    fields: readonly HeaderField[],
    message: Uint8Array,
    take: TakePiece,
  ) {
    this.#take = take;
    this.#stream = client.open(fields, false, this);
    this.#stream.sendData(message, 0, message.length, false);
  }

  /** The answer's first bytes have come. */
  get begun(): Promise<void> {
    return this.#firstBytes.promise;
  }

  get status(): Promise<Status> {
    return this.#status.promise;
  }

  /** Sends a further message, length prefix and all. */
  send(message: Uint8Array): void {
    this.#stream.sendData(message, 0, message.length, false);
  }

  halfClose(): void {
    this.#stream.sendEnd();
  }

  cancel(): void {
    this.#stream.reset(ErrorCode.CANCEL);
  }

  /** Gives the sender credit for `bytes` bytes. */
  credit(bytes: number): void {
    this.#stream.consume(bytes);
  }

  onResponse(head: { readonly fields: readonly HeaderField[] }, endStream: boolean): void {
    if (endStream) this.onTrailers(head.fields);
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    this.receivedBytes += end - start;
    if (this.receivedBytes > 0) this.#firstBytes.resolve();
    if (this.#take(bytes.subarray(start, end))) this.#stream.consume(end - start);
  }

  onTrailers(fields: readonly HeaderField[]): void {
    this.#end(readStatus(fields) ?? { code: -1, message: "no status" });
  }

  onSent(): void {}

  onReset(reset: { readonly message: string }): void {
    this.#end({ code: -1, message: reset.message });
  }

  #end(status: Status): void {
    this.over = true;
    this.#firstBytes.resolve();
    this.#status.resolve(status);
  }
}

export interface RawClientOptions {
  /** Receive window of each stream; by default without bound. */
  readonly windowBytes?: number;
}

export class RawClient implements Disposable {
  readonly connection: ClientConnection;
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #socket: Socket<RawClient>;
  readonly #http2: Http2Socket;
  readonly #authority: string;

  private constructor(socket: Socket<RawClient>, authority: string, options: RawClientOptions) {
    this.#socket = socket;
    this.#authority = authority;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.connection = new ClientConnection(
      {
        limits: { ...HTTP2_LIMITS, connectionBufferBytesMax: Number.POSITIVE_INFINITY },
        settings: { ...defaultSettings(), initialWindowBytes: options.windowBytes ?? WINDOW_BYTES_MAX },
      },
      {
        onOutput: () => this.#http2.onOutput(),
        onOutputLarge: () => this.#http2.onOutputLarge(),
        onEnd: () => {
          closed.resolve();
          this.#http2.finish();
        },
        onReady() {},
        onGoaway() {},
        onStreamEnded() {},
      },
    );
    this.#http2 = new Http2Socket(socket, this.connection);
    this.#http2.onOutput();
  }

  /** Connects to `address` (`host:port`) and waits for the other side's SETTINGS. */
  static async connect(address: string, options: RawClientOptions = {}): Promise<RawClient> {
    const ready = Promise.withResolvers<void>();
    const socket = await Bun.connect<RawClient>({
      ...parseAddress(address),
      socket: {
        open(opened) {
          opened.data = new RawClient(opened, address, options);
        },
        data(opened, chunk) {
          opened.data.#http2.onData(chunk);
          if (opened.data.connection.settingsReceived) ready.resolve();
        },
        drain: (opened) => opened.data.#http2.onDrain(),
        end: (opened) => opened.data.#http2.onPeerEnd(),
        close(opened, error) {
          opened.data.#http2.onClose(error);
          ready.reject(new Error(`${address} closed the connection`));
        },
        error() {},
      },
    });
    await ready.promise;
    return socket.data;
  }

  /** Opens a call and sends its first message; `halfClose` it unless more shall come. `metadata` goes as it is. */
  call<Input extends DescMessage>(
    method: DescMethod & { readonly input: Input },
    request: MessageInitShape<Input>,
    take: TakePiece = () => true,
    metadata: readonly (readonly [name: string, value: string])[] = [],
  ): RawCall {
    const fields: readonly (readonly [name: string, value: string])[] = [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", methodPath(method)],
      [":authority", this.#authority],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ...metadata,
    ];
    const message = framed(toBinary(method.input, create(method.input, request)));
    return new RawCall(
      this.connection,
      fields.map(([name, value]) => headerField(name, value)),
      message,
      take,
    );
  }

  /** Reads nothing more from the socket: the kernel's buffers fill up. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Vanishes: the connection is reset. */
  cut(): void {
    this.#socket.terminate();
  }

  [Symbol.dispose](): void {
    this.cut();
  }
}
