/**
 * A member that means harm: a loopback server that writes frames by hand, whatever the protocol has to say to them.
 *
 * It reads what the proxy sends with the tests' own view of the wire, and shares nothing with the engine but HPACK. A
 * script decides what it does; without one it says hello and answers nothing.
 */
import type { Socket, TCPSocketListener } from "bun";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { waitFor } from "../harness/wait-for.ts";
import {
  ACK,
  concat,
  CONTINUATION,
  DATA,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  parseFrames,
  PREFACE,
  readUint,
  RST_STREAM,
  SETTINGS,
  settings,
  WINDOW_UPDATE,
  type WireFrame,
} from "../http2/frames.ts";
import { type FieldList } from "../http2/wire.ts";

export const GRPC_HEAD: FieldList = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
export const GRPC_OK: FieldList = [["grpc-status", "0"]];

/** A call that has come, whole once `ended`; a stream's requests grow in `body`. */
export interface HostileCall {
  readonly connection: HostileConnection;
  readonly streamId: number;
  readonly path: string;
  readonly body: Uint8Array;
  readonly ended: boolean;
}

/** What the member does; each part may be left out. */
export interface Script {
  /** A connection is there; by default SETTINGS are sent. */
  readonly onConnection?: (connection: HostileConnection) => void;
  /** DATA of a call has come, or its end. */
  readonly onRequest?: (call: HostileCall) => void;
}

interface CreditedStream {
  readonly next: () => Uint8Array | null;
  rest: Uint8Array;
  creditBytes: number;
}

interface OpenCall {
  readonly path: string;
  body: Uint8Array;
}

export class HostileConnection {
  /** Which one of the member's it is, from 0 on. */
  readonly number: number;
  /** Bytes that the kernel has taken. */
  sentBytes = 0;
  closed = false;
  readonly #socket: Socket<HostileConnection>;
  readonly #member: HostileMember;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder();
  readonly #calls = new Map<number, OpenCall>();
  #received: Uint8Array = new Uint8Array(0);
  #prefaceLeft = PREFACE.length;
  readonly #streams = new Map<number, CreditedStream>();
  #creditBytes = CONNECTION_WINDOW_BYTES;
  #block: { streamId: number; endStream: boolean; parts: Uint8Array[] } | null = null;
  #unsent: Uint8Array = new Uint8Array(0);
  /** Behind `#unsent`. */
  #waiting: Uint8Array[] = [];
  #flood: (() => Uint8Array) | null = null;

  constructor(socket: Socket<HostileConnection>, member: HostileMember) {
    this.number = member.connections.length;
    this.#socket = socket;
    this.#member = member;
  }

  /** Says hello, as a member does. */
  hello(...entries: readonly (readonly [id: number, value: number])[]): void {
    this.send(settings(...entries), frame(SETTINGS, ACK, 0));
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#waiting.push(...parts);
    this.flush();
  }

  /** Writes what `make` makes, again and again, as fast as the proxy takes it. */
  flood(make: () => Uint8Array): void {
    this.#flood = make;
    this.flush();
  }

  /** A HEADERS frame. Blocks must be sent in the order they are made. */
  headers(streamId: number, list: FieldList, flags = 0): Uint8Array {
    const out = new ByteWriter();
    this.#encoder.encode(
      list.map(([name, value]) => headerField(name, value)),
      out,
    );
    return frame(HEADERS, END_HEADERS | flags, streamId, out.toBytes());
  }

  /** An answer to a call: its head, messages, and OK. */
  answer(streamId: number, ...messages: readonly Uint8Array[]): void {
    this.begin(streamId, ...messages);
    this.send(this.headers(streamId, GRPC_OK, END_STREAM));
  }

  /** An answer that goes on. */
  begin(streamId: number, ...messages: readonly Uint8Array[]): void {
    this.send(this.headers(streamId, GRPC_HEAD));
    this.messages(streamId, ...messages);
  }

  /**
   * DATA that `next` makes, `null` for no more, as far as the proxy gives credit for it: nothing that the protocol
   * forbids.
   */
  stream(streamId: number, next: () => Uint8Array | null): void {
    this.#streams.set(streamId, { next, rest: new Uint8Array(0), creditBytes: STREAM_WINDOW_BYTES });
    this.#pump();
  }

  #pump(): void {
    for (const [streamId, stream] of this.#streams) {
      while (stream.creditBytes > 0 && this.#creditBytes > 0 && !this.closed) {
        if (stream.rest.length === 0) {
          const more = stream.next();
          if (more === null) {
            this.#streams.delete(streamId);
            break;
          }
          stream.rest = more;
        }
        const size = Math.min(stream.rest.length, stream.creditBytes, this.#creditBytes, FRAME_BYTES_MAX);
        this.send(data(streamId, stream.rest.subarray(0, size)));
        stream.rest = stream.rest.subarray(size);
        stream.creditBytes -= size;
        this.#creditBytes -= size;
      }
    }
  }

  /** Further messages of an answer. */
  messages(streamId: number, ...messages: readonly Uint8Array[]): void {
    this.send(...messages.flatMap((message) => dataFrames(streamId, prefixed(message))));
  }

  cut(): void {
    this.#socket.terminate();
  }

  end(): void {
    this.#socket.end();
  }

  // From the socket.

  flush(): void {
    // Some pieces at a time: the sockets of the test have their turns, too.
    for (let pieces = 0; pieces < 16 && !this.closed; pieces++) {
      if (this.#unsent.length === 0) {
        if (this.#waiting.length > 0) this.#unsent = concat(this.#waiting.splice(0, JOINED_MAX));
        else if (this.#flood === null) return;
        else this.#unsent = this.#flood();
      }
      const written = this.#socket.write(this.#unsent);
      if (written < 0) return;
      this.sentBytes += written;
      this.#unsent = this.#unsent.subarray(written);
      if (this.#unsent.length > 0) return; // `drain` goes on.
    }
    if (!this.closed) setImmediate(() => this.flush());
  }

  receive(chunk: Uint8Array): void {
    const skipped = Math.min(this.#prefaceLeft, chunk.length);
    this.#prefaceLeft -= skipped;
    this.#received = concat([this.#received, chunk.subarray(skipped)]);
    const whole = wholeFrames(this.#received);
    const frames = parseFrames(this.#received.slice(0, whole));
    this.#received = this.#received.slice(whole);
    for (const each of frames) this.#onFrame(each);
  }

  #onFrame({ type, flags, streamId, payload }: WireFrame): void {
    if (type === HEADERS) {
      this.#block = { streamId, endStream: (flags & END_STREAM) !== 0, parts: [payload] };
    } else if (type === CONTINUATION) {
      this.#block?.parts.push(payload);
    } else if (type === DATA) {
      const call = this.#calls.get(streamId);
      if (call === undefined) return;
      call.body = concat([call.body, payload]);
      this.#tell(streamId, call, (flags & END_STREAM) !== 0);
    } else if (type === WINDOW_UPDATE) {
      const bytes = readUint(payload, 0);
      const stream = this.#streams.get(streamId);
      if (streamId === 0) this.#creditBytes += bytes;
      else if (stream !== undefined) stream.creditBytes += bytes;
      this.#pump();
    } else if (type === RST_STREAM) {
      this.#streams.delete(streamId);
      this.#calls.delete(streamId);
      this.#member.resets.push(readUint(payload, 0));
    }
    if ((type === HEADERS || type === CONTINUATION) && (flags & END_HEADERS) !== 0) this.#onHeaders();
  }

  #onHeaders(): void {
    const block = this.#block!;
    const bytes = concat(block.parts);
    const fields = this.#decoder.decode(bytes, 0, bytes.length, Number.POSITIVE_INFINITY);
    const path = fields.find(({ name }) => name === ":path")?.value ?? "";
    const call: OpenCall = { path, body: new Uint8Array(0) };
    this.#calls.set(block.streamId, call);
    if (block.endStream) this.#tell(block.streamId, call, true);
  }

  #tell(streamId: number, { path, body }: OpenCall, ended: boolean): void {
    if (ended) this.#calls.delete(streamId);
    this.#member.onRequest({ connection: this, streamId, path, body, ended });
  }
}

export class HostileMember implements Disposable {
  /** Connections ever accepted. */
  readonly connections: HostileConnection[] = [];
  /** Calls that have come whole, or as far as a stream's requests go, in the order of their DATA. */
  readonly requests: HostileCall[] = [];
  /** Error codes of the calls that the proxy has reset. */
  readonly resets: number[] = [];
  readonly #listener: TCPSocketListener<HostileConnection>;
  readonly #script: Script;
  readonly #sockets = new Set<Socket<HostileConnection>>();

  constructor(script: Script = {}) {
    this.#script = script;
    this.#listener = Bun.listen<HostileConnection>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: false,
      socket: {
        open: (socket) => {
          this.#sockets.add(socket);
          const connection = new HostileConnection(socket, this);
          socket.data = connection;
          this.connections.push(connection);
          if (script.onConnection === undefined) connection.hello();
          else script.onConnection(connection);
        },
        data: (socket, chunk) => socket.data.receive(chunk),
        drain: (socket) => socket.data.flush(),
        close: (socket) => {
          this.#sockets.delete(socket);
          socket.data.closed = true;
        },
        error() {},
      },
    });
  }

  /** `host:port`. */
  get endpoint(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  onRequest(call: HostileCall): void {
    this.requests.push(call);
    this.#script.onRequest?.(call);
  }

  /** The first connection. */
  connected(): Promise<HostileConnection> {
    return waitFor("a connection to the hostile member", () => this.connections[0]);
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    for (const socket of this.#sockets) socket.terminate();
  }
}

/** Pieces that are written together. */
const JOINED_MAX = 64;

/** A message behind its length prefix. */
export function prefixed(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(5 + message.length);
  new DataView(out.buffer).setUint32(1, message.length);
  out.set(message, 5);
  return out;
}

/** The largest frame that the proxy takes. */
const FRAME_BYTES_MAX = 16_384;

/** DATA frames that carry `bytes`. */
export function dataFrames(streamId: number, bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += FRAME_BYTES_MAX) {
    frames.push(data(streamId, bytes.subarray(at, at + FRAME_BYTES_MAX)));
  }
  return frames;
}

/** How many bytes at the beginning of `bytes` are whole frames. */
function wholeFrames(bytes: Uint8Array): number {
  let at = 0;
  for (;;) {
    if (bytes.length - at < 9) return at;
    const size = bytes[at]! * 65_536 + bytes[at + 1]! * 256 + bytes[at + 2]!;
    if (bytes.length - at < 9 + size) return at;
    at += 9 + size;
  }
}
