/**
 * A minimal HTTP/2 server for h2spec: the engine's server connection on a real socket.
 *
 * It answers every request with 200 and sends the request's content back, or a word where there is none.
 */
import type { Socket } from "bun";
import { headerField } from "../../src/hpack/header-field.ts";
import type { ConnectionEnd } from "../../src/http2/connection-handler.ts";
import { HTTP2_LIMITS, STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { ServerConnection } from "../../src/http2/server-connection.ts";
import { defaultSettings } from "../../src/http2/settings.ts";
import { NO_HANDLER, type Stream } from "../../src/http2/stream.ts";

const RESPONSE = [headerField(":status", "200"), headerField("content-type", "text/plain")];
const WORD = new TextEncoder().encode("hello");

const SETTINGS = {
  ...defaultSettings(),
  concurrentStreamsMax: 100,
  initialWindowBytes: STREAM_WINDOW_BYTES,
  headerListBytesMax: HTTP2_LIMITS.headerListBytesMax,
};

class EchoConnection {
  readonly #socket: Socket<EchoConnection | undefined>;
  readonly #connection: ServerConnection;
  #ended = false;
  #flushing = false;

  constructor(socket: Socket<EchoConnection | undefined>) {
    this.#socket = socket;
    this.#connection = new ServerConnection(
      { limits: HTTP2_LIMITS, settings: SETTINGS },
      {
        onOutput: () => this.#flushSoon(),
        onOutputLarge: () => this.flush(),
        onEnd: (end) => this.#onEnd(end),
        onRequest: (stream, _head, endStream) => answer(stream, endStream),
      },
    );
  }

  receive(chunk: Uint8Array): void {
    this.#connection.receive(chunk, performance.now());
  }

  closed(): void {
    this.#connection.transportClosed("connection closed");
  }

  flush(): void {
    const { outbound } = this.#connection;
    const { output } = outbound;
    if (output.length > 0) {
      const written = this.#socket.write(output.bytes, 0, output.length);
      if (written < 0) return;
      output.discard(written);
      if (output.length === 0) output.release();
    }
    outbound.drained();
    if (this.#ended && output.length === 0) this.#socket.end();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  #onEnd(end: ConnectionEnd): void {
    if (end.cause === "transport") return;
    this.#ended = true;
    this.#flushSoon();
  }
}

function answer(stream: Stream, endStream: boolean): void {
  stream.handler = {
    ...NO_HANDLER,
    onData(bytes, start, end, last) {
      stream.sendData(bytes, start, end, last);
      stream.consume(end - start);
    },
    onTrailers: () => stream.sendEnd(),
  };
  stream.sendHeaders(RESPONSE, false);
  if (endStream) stream.sendData(WORD, 0, WORD.length, true);
}

/** Listens on a port that the OS chooses. */
export function startH2specServer(): { readonly port: number; stop(): void } {
  const listener = Bun.listen<EchoConnection | undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = new EchoConnection(socket);
      },
      data: (socket, chunk) => socket.data?.receive(chunk),
      drain: (socket) => socket.data?.flush(),
      close: (socket) => socket.data?.closed(),
    },
  });
  return { port: listener.port, stop: () => listener.stop(true) };
}
