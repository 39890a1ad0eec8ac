/**
 * A member that misbehaves on demand: our own server connection behind a loopback socket.
 *
 * A stand-in is right here since a real etcd cannot be made to refuse a stream, to go away after a given stream
 * or to lose a connection between two bytes. Each call waits until the test answers it.
 */
import type { Socket } from "bun";
import { createEndpoint, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { Http2Socket } from "../../src/grpc/http2-socket.ts";
import { RESPONSE_HEAD, type Status, statusTrailers } from "../../src/grpc/status.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";
import { writeGoaway } from "../../src/http2/frame.ts";
import type { RequestHead } from "../../src/http2/header-rules.ts";
import { HTTP2_LIMITS } from "../../src/http2/limits.ts";
import { ServerConnection } from "../../src/http2/server-connection.ts";
import { defaultSettings } from "../../src/http2/settings.ts";
import type { Stream, StreamReset } from "../../src/http2/stream.ts";
import { waitFor } from "../harness/wait-for.ts";

export interface StandInOptions {
  readonly concurrentStreamsMax?: number;
  /** Clients that ping more often than so many milliseconds apart are cut as etcd cuts them. */
  readonly pingIntervalMinMs?: number;
  /** The port to listen on; any free one when absent. */
  readonly port?: number;
  /** Answers every call; without it calls wait in `calls`. */
  readonly answer?: (call: StandInCall) => void;
  /** What a client gets instead of HTTP/2 once it has connected; empty: nothing at all. */
  readonly instead?: Uint8Array;
}

/** A connection to the stand-in. */
export class StandInConnection {
  readonly http2: ServerConnection;
  readonly socket: Http2Socket;
  readonly #raw: Socket<StandInConnection>;

  constructor(raw: Socket<StandInConnection>, member: StandInMember, options: StandInOptions) {
    this.#raw = raw;
    const defaults = defaultSettings();
    const { concurrentStreamsMax = defaults.concurrentStreamsMax, pingIntervalMinMs = 0 } = options;
    this.http2 = new ServerConnection(
      { limits: { ...HTTP2_LIMITS, pingIntervalMinMs }, settings: { ...defaults, concurrentStreamsMax } },
      {
        onOutput: () => this.socket.onOutput(),
        onOutputLarge: () => this.socket.onOutputLarge(),
        onEnd: () => this.socket.finish(),
        onRequest: (stream, head, endStream) => member.onCall(new StandInCall(this, stream, head, endStream)),
      },
    );
    this.socket = new Http2Socket(raw, this.http2);
    this.socket.onOutput();
  }

  /** The connection is lost without a word. */
  cut(): void {
    this.#raw.terminate();
  }

  /** GOAWAY: streams above `lastStreamId` were not and will not be looked at. */
  goAway(lastStreamId: number): void {
    writeGoaway(this.http2.outbound.output, lastStreamId, ErrorCode.NO_ERROR, "");
    this.socket.flush();
  }
}

/** A call that has come to the stand-in. */
export class StandInCall {
  readonly connection: StandInConnection;
  readonly path: string;
  readonly fields: readonly HeaderField[];
  readonly stream: Stream;
  /** The request so far, prefix included. */
  request: Uint8Array = new Uint8Array(0);
  requestEnded: boolean;
  /** How the client, or the end of its connection, ended the call. */
  reset: StreamReset | undefined;

  constructor(connection: StandInConnection, stream: Stream, head: RequestHead, requestEnded: boolean) {
    this.connection = connection;
    this.path = head.path;
    this.fields = head.fields;
    this.stream = stream;
    this.requestEnded = requestEnded;
  }

  field(name: string): string | undefined {
    return this.fields.find((field) => field.name === name)?.value;
  }

  /** The head of an answer and one message, whole. */
  sendMessage(payload: string | Uint8Array): void {
    this.stream.sendHeaders(RESPONSE_HEAD, false);
    this.sendBytes(framed(payload));
  }

  sendBytes(bytes: Uint8Array): void {
    this.stream.sendData(bytes, 0, bytes.length, false);
  }

  /** One message and OK. */
  answer(payload: string | Uint8Array): void {
    this.sendMessage(payload);
    this.stream.sendTrailers(statusTrailers({ code: 0, message: "" }));
  }

  /** A status and nothing else. */
  fail(status: Status): void {
    this.stream.sendHeaders([...RESPONSE_HEAD, ...statusTrailers(status)], true);
  }

  /** An answer that is no gRPC. */
  answerHttp(status: number, contentType: string): void {
    this.stream.sendHeaders(
      [headerField(":status", String(status)), headerField("content-type", contentType)],
      true,
    );
  }
}

export class StandInMember implements Disposable {
  readonly endpoint: Endpoint;
  readonly connections: StandInConnection[] = [];
  /** Every call that has ever come, answered or not. */
  readonly calls: StandInCall[] = [];
  readonly #listener: Bun.TCPSocketListener<StandInConnection>;
  readonly #answer: ((call: StandInCall) => void) | undefined;
  readonly #sockets = new Set<Socket<StandInConnection>>();
  /** TCP connections accepted, HTTP/2 or not. */
  accepted = 0;

  constructor(options: StandInOptions = {}) {
    this.#answer = options.answer;
    this.#listener = Bun.listen<StandInConnection>({
      hostname: "127.0.0.1",
      port: options.port ?? 0,
      socket: {
        open: (socket) => {
          this.accepted++;
          this.#sockets.add(socket);
          if (options.instead !== undefined) {
            socket.write(options.instead);
            return;
          }
          socket.data = new StandInConnection(socket, this, options);
          this.connections.push(socket.data);
        },
        data: (socket, chunk) => socket.data?.socket.onData(chunk),
        drain: (socket) => socket.data?.socket.onDrain(),
        close: (socket, error) => {
          this.#sockets.delete(socket);
          socket.data?.socket.onClose(error);
        },
        error() {},
      },
    });
    this.endpoint = createEndpoint("http", "127.0.0.1", this.#listener.port);
  }

  onCall(call: StandInCall): void {
    call.stream.handler = {
      onResponse() {},
      onData: (bytes, start, end, endStream) => {
        call.request = Buffer.concat([call.request, bytes.subarray(start, end)]);
        call.stream.consume(end - start);
        if (endStream) this.#ended(call);
      },
      onTrailers: () => this.#ended(call),
      onSent() {},
      onReset: (reset) => {
        call.reset = reset;
      },
    };
    this.calls.push(call);
    if (call.requestEnded) this.#ended(call);
  }

  #ended(call: StandInCall): void {
    call.requestEnded = true;
    this.#answer?.(call);
  }

  /** The call number `index`, once all of its request has come. */
  call(index: number): Promise<StandInCall> {
    return waitFor(`call ${index} at ${this.endpoint.name}`, () => {
      const call = this.calls[index];
      return call?.requestEnded === true ? call : undefined;
    });
  }

  /** Takes no more connections and loses those it has. */
  down(): void {
    this.#listener.stop(true);
    for (const socket of this.#sockets) socket.terminate();
  }

  [Symbol.dispose](): void {
    this.down();
  }
}

/** A length-prefixed message. */
export function framed(payload: string | Uint8Array): Uint8Array {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const message = new Uint8Array(5 + bytes.length);
  new DataView(message.buffer).setUint32(1, bytes.length);
  message.set(bytes, 5);
  return message;
}
