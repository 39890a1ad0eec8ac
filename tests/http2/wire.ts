/**
 * A connection under test with a peer at its other end that writes and reads frames by hand.
 *
 * What the engine says on the wire comes back as lines from `read`, what it tells its owner as lines in
 * `events`, so that a test reads as a conversation. The peer takes all output unless told otherwise.
 */
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";
import type { BufferBudget } from "../../src/http2/buffer-budget.ts";
import { ClientConnection } from "../../src/http2/client-connection.ts";
import type { Connection } from "../../src/http2/connection.ts";
import type { ConnectionEnd, ConnectionOptions } from "../../src/http2/connection-handler.ts";
import { errorCodeName } from "../../src/http2/error-code.ts";
import {
  HTTP2_LIMITS,
  type Http2LimitName,
  type Http2Limits,
  STREAM_WINDOW_BYTES,
} from "../../src/http2/limits.ts";
import { ServerConnection } from "../../src/http2/server-connection.ts";
import { defaultSettings, type Settings } from "../../src/http2/settings.ts";
import type { Stream, StreamHandler } from "../../src/http2/stream.ts";
import {
  ACK,
  CONTINUATION,
  concat,
  END_HEADERS,
  END_STREAM,
  frame,
  frameLine,
  HEADERS,
  parseFrames,
  PREFACE,
  SETTINGS,
  settings,
  type WireFrame,
} from "./frames.ts";

/** Header fields as tests write them. */
export type FieldList = readonly (readonly [name: string, value: string])[];

export const REQUEST: FieldList = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "etcd"],
  [":path", "/kv"],
];
export const RESPONSE: FieldList = [[":status", "200"]];

/** The engine's default limits, with what a test needs otherwise. */
export interface WireOptions {
  readonly limits?: Partial<Http2Limits>;
  readonly settings?: Partial<Settings>;
  readonly budget?: BufferBudget;
  /** SETTINGS of the hand-made peer. */
  readonly peerSettings?: FieldNumbers;
}

export type FieldNumbers = readonly (readonly [id: number, value: number])[];

export function fields(list: FieldList): HeaderField[] {
  return list.map(([name, value]) => headerField(name, value));
}

/** The hand-made end of a connection, and the record of what the engine said and told. */
export class Wire<C extends Connection> {
  readonly connection: C;
  /** What the engine told the owner of the connection and of its streams, one line for each event. */
  readonly events: string[] = [];
  /** The limits of which the engine told the connection's owner, in order. */
  readonly limits: Http2LimitName[] = [];
  /** The streams the engine has told of, by id. */
  readonly streams = new Map<number, Stream>();
  /** The peer's clock, in milliseconds; tests move it. */
  nowMs = 1000;
  /** Content of every DATA frame the peer has read, by stream. */
  readonly received = new Map<number, Uint8Array[]>();
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder();
  #block: Uint8Array[] = [];

  constructor(make: (wire: Wire<C>) => C) {
    this.connection = make(this);
  }

  /** What peer and engine hold of the events so far; forgets them. */
  takeEvents(): string[] {
    return this.events.splice(0);
  }

  /** The peer sends bytes, all in one chunk. */
  send(...parts: readonly Uint8Array[]): void {
    this.connection.receive(concat(parts), this.nowMs);
  }

  /** The peer's HEADERS frame with END_HEADERS. */
  headers(streamId: number, list: FieldList, flags = 0): Uint8Array {
    return frame(HEADERS, END_HEADERS | flags, streamId, this.block(list));
  }

  /** A header block as the peer's encoder writes it. Blocks must be sent in the order they are made. */
  block(list: FieldList): Uint8Array {
    const out = new ByteWriter();
    this.#encoder.encode(fields(list), out);
    return out.toBytes();
  }

  /** The peer reads what the engine has put into its output, once. */
  readFrames(): WireFrame[] {
    const { outbound } = this.connection;
    const frames = parseFrames(outbound.output.toBytes());
    outbound.output.release();
    outbound.drained();
    return frames;
  }

  /** The peer reads everything the engine has to say; one line for each frame. */
  read(): string[] {
    const lines: string[] = [];
    while (this.connection.outbound.output.length > 0) {
      for (const each of this.readFrames()) {
        const line = this.#line(each);
        if (line !== "") lines.push(line);
      }
    }
    return lines;
  }

  /** All DATA that the peer has read on a stream, as text. */
  receivedText(streamId: number): string {
    return new TextDecoder().decode(concat(this.received.get(streamId) ?? []));
  }

  #line(each: WireFrame): string {
    if (each.type === HEADERS || each.type === CONTINUATION) {
      if (each.type === HEADERS) this.#block = [];
      this.#block.push(each.payload);
      if ((each.flags & END_HEADERS) === 0) return frameLine({ ...each, type: CONTINUATION });
      const block = concat(this.#block);
      const list = this.#decoder.decode(block, 0, block.length, Number.POSITIVE_INFINITY);
      const end = (each.flags & END_STREAM) !== 0 && each.type === HEADERS ? " END_STREAM" : "";
      return `HEADERS ${each.streamId} ${fieldText(list)}${end}`;
    }
    if (each.type === 0) {
      const pieces = this.received.get(each.streamId) ?? [];
      pieces.push(each.payload);
      this.received.set(each.streamId, pieces);
    }
    return frameLine(each);
  }

  /** Notes what a stream's owner is told. */
  streamHandler(streamId: () => number): StreamHandler {
    const note = (line: string) => this.events.push(line);
    return {
      onResponse: (head, endStream) => note(`response ${streamId()} ${head.status}${ending(endStream)}`),
      onData: (bytes, start, end, endStream) =>
        note(`data ${streamId()} ${contentText(bytes.subarray(start, end))}${ending(endStream)}`),
      onTrailers: (list) => note(`trailers ${streamId()} ${fieldText(list)}`),
      onSent: (bytes) => note(`sent ${streamId()} ${bytes}`),
      onReset: (reset) =>
        note(
          `reset ${streamId()} by ${reset.cause} with ${errorCodeName(reset.code)}` +
            (reset.neverProcessed ? ", never processed" : ""),
        ),
    };
  }

  noteEnd(end: ConnectionEnd): void {
    if (end.limit !== null) this.limits.push(end.limit);
    this.events.push(`end by ${end.cause} with ${errorCodeName(end.code)}`);
  }
}

function ending(endStream: boolean): string {
  return endStream ? " END_STREAM" : "";
}

function contentText(content: Uint8Array): string {
  return content.length > 40 ? `${content.length} bytes` : JSON.stringify(new TextDecoder().decode(content));
}

function fieldText(list: readonly HeaderField[]): string {
  return list.map(({ name, value }) => `${name}=${value}`).join(" ");
}

function connectionOptions(options: WireOptions): ConnectionOptions {
  return {
    limits: { ...HTTP2_LIMITS, ...options.limits },
    settings: { ...defaultSettings(), initialWindowBytes: STREAM_WINDOW_BYTES, ...options.settings },
    ...(options.budget === undefined ? {} : { budget: options.budget }),
  };
}

export type ServerWire = Wire<ServerConnection>;
export type ClientWire = Wire<ClientConnection>;

/** A server connection that has heard nothing yet. */
export function freshServer(options: WireOptions = {}): ServerWire {
  return new Wire<ServerConnection>(
    (wire) =>
      new ServerConnection(connectionOptions(options), {
        onOutput() {},
        onOutputLarge() {},
        onEnd: (end) => wire.noteEnd(end),
        onLimit: (limit) => wire.limits.push(limit),
        onRequest(stream, head, endStream) {
          wire.streams.set(stream.id, stream);
          stream.handler = wire.streamHandler(() => stream.id);
          wire.events.push(`request ${stream.id} ${head.method} ${head.path}${ending(endStream)}`);
        },
      }),
  );
}

/** A server connection whose client has said hello; both sides have acknowledged. */
export function server(options: WireOptions = {}): ServerWire {
  const wire = freshServer(options);
  wire.send(PREFACE, settings(...(options.peerSettings ?? [])), frame(SETTINGS, ACK, 0));
  wire.read();
  return wire;
}

/** A server connection with an open request on stream 1, nothing of it read yet. */
export function serverWithRequest(options: WireOptions = {}): { wire: ServerWire; stream: Stream } {
  const wire = server(options);
  const stream = request(wire, 1);
  return { wire, stream };
}

/** The client opens a request; returns the server's stream. Events so far are forgotten. */
export function request(wire: ServerWire, streamId: number, flags = 0, list = REQUEST): Stream {
  wire.send(wire.headers(streamId, list, flags));
  wire.takeEvents();
  const stream = wire.streams.get(streamId);
  if (stream === undefined) throw new Error(`no request on stream ${streamId}`);
  return stream;
}

/** A client connection that has heard nothing yet. */
export function freshClient(options: WireOptions = {}, firstStreamId = 1): ClientWire {
  return new Wire<ClientConnection>(
    (wire) =>
      new ClientConnection(
        connectionOptions(options),
        {
          onOutput() {},
          onOutputLarge() {},
          onEnd: (end) => wire.noteEnd(end),
          onLimit: (limit) => wire.limits.push(limit),
          onReady: () => wire.events.push("ready"),
          onGoaway: (code, debugText) =>
            wire.events.push(`goaway ${errorCodeName(code)} ${debugText}`.trim()),
          onStreamEnded: () => wire.events.push("stream ended"),
          onAwake: () => wire.events.push("awake"),
        },
        firstStreamId,
      ),
  );
}

/** A client connection whose server has said hello. */
export function client(options: WireOptions = {}, firstStreamId = 1): ClientWire {
  const wire = freshClient(options, firstStreamId);
  const { output } = wire.connection.outbound;
  output.discard(PREFACE.length);
  wire.send(settings(...(options.peerSettings ?? [])), frame(SETTINGS, ACK, 0));
  wire.read();
  wire.takeEvents();
  return wire;
}

/** The engine's client opens a request; returns its stream. */
export function open(wire: ClientWire, endStream = false): Stream {
  let id = 0;
  const stream = wire.connection.open(
    fields(REQUEST),
    endStream,
    wire.streamHandler(() => id),
  );
  id = stream.id;
  wire.streams.set(id, stream);
  return stream;
}

/** A client connection with one open request on stream 1, its HEADERS read. */
export function clientWithRequest(
  options: WireOptions = {},
  endStream = false,
): { wire: ClientWire; stream: Stream } {
  const wire = client(options);
  const stream = open(wire, endStream);
  wire.read();
  return { wire, stream };
}
