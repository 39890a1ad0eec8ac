/**
 * A client's HTTP/2 connection (RFC 9113) with as little work for each received frame as JavaScript allows.
 *
 * Stands between a socket and one handler of frames. It answers SETTINGS and PING, returns the connection's
 * credit in big steps, and counts the credit for sending. It trusts the peer: a part of the bench that must cost
 * less than what it measures, never a base to build on.
 */
import { HpackDecoder } from "../../../src/hpack/decoder.ts";
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { CLIENT_PREFACE, connectionCredit, Flag, frame, FrameType, settings } from "../floors/frames.ts";
import { hostAndPort } from "../host-and-port.ts";
import { FRAME_HEADER_BYTES, FrameCutter } from "./frame-cutter.ts";

/** RST_STREAM and WINDOW_UPDATE tell of one stream; the others are in `FrameType`. */
export const RST_STREAM = 3;
/** RFC 9113 §6.9.2: what may be sent before the peer grants more. */
export const FIRST_WINDOW_BYTES = 65_535;
/** The window for each stream and for the connection: never in a server's way. */
const WINDOW_BYTES = 1 << 30;
/** Credit is returned once so much was received. */
export const CREDIT_STEP_BYTES = 1 << 24;
const HEADER_LIST_BYTES_MAX = 65_536;
const SETTINGS_ENABLE_PUSH = 2;
const SETTINGS_INITIAL_WINDOW_SIZE = 4;
const PADDED = 8;
const PRIORITY = 0x20;

export interface FrameHandler {
  /** A DATA or RST_STREAM frame; its payload is `bytes[start, end)`, to be read during the call only. */
  onFrame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void;
  /** A header section, decoded: initial or, with `endStream`, the trailers. */
  onHeaders(streamId: number, endStream: boolean, fields: readonly HeaderField[]): void;
  /** All frames of a chunk have been told. */
  onChunkEnd(): void;
  /** There is credit again for sending. */
  onCredit(): void;
  /** A stream may send so many bytes of DATA more; who sends little on a stream need not know. */
  onStreamCredit?(streamId: number, bytes: number): void;
  /** The connection is over, in whatever way; told once, unless it was closed here. */
  onLost(reason: string): void;
}

export class BareConnection {
  readonly #address: string;
  readonly #handler: FrameHandler;
  readonly #decoder = new HpackDecoder();
  readonly #cutter = new FrameCutter((bytes, at, end) => this.#take(bytes, at, end));
  #socket: Bun.Socket | null = null;
  /** What the socket did not take yet. */
  #unsent: Uint8Array[] = [];
  #uncreditedBytes = 0;
  #sendWindowBytes = FIRST_WINDOW_BYTES;

  private constructor(address: string, handler: FrameHandler) {
    this.#address = address;
    this.#handler = handler;
  }

  /** Connects to `host:port`. The handler hears nothing before the promise is resolved. */
  static async open(address: string, handler: FrameHandler): Promise<BareConnection> {
    const connection = new BareConnection(address, handler);
    connection.#socket = await Bun.connect({
      ...hostAndPort(address),
      socket: {
        data: (_socket, chunk) => connection.#push(chunk),
        drain: () => connection.#drain(),
        close: () => connection.#lose("it was closed"),
        error: (_socket, error) => connection.#lose(error.message),
      },
    }).catch((error: unknown) => {
      throw new Error(`cannot connect to ${address}`, { cause: error });
    });
    connection.write(
      Buffer.concat([
        CLIENT_PREFACE,
        settings([
          [SETTINGS_ENABLE_PUSH, 0],
          [SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES],
        ]),
        connectionCredit(WINDOW_BYTES - FIRST_WINDOW_BYTES),
      ]),
    );
    return connection;
  }

  /** How many bytes of DATA the connection's window leaves. */
  get sendWindowBytes(): number {
    return this.#sendWindowBytes;
  }

  /** Writes whole frames, of which `dataBytes` count against the connection's window. Keeps what it must: copied. */
  write(bytes: Uint8Array, dataBytes = 0): void {
    this.#sendWindowBytes -= dataBytes;
    if (this.#socket === null) return;
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes.slice());
      return;
    }
    const written = Math.max(0, this.#socket.write(bytes));
    if (written < bytes.length) this.#unsent.push(bytes.slice(written));
  }

  /** Closes the connection; the handler hears no more. */
  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  #lose(reason: string): void {
    if (this.#socket === null) return;
    this.close();
    this.#handler.onLost(`the connection to ${this.#address} is lost: ${reason}`);
  }

  #drain(): void {
    const waiting = this.#unsent;
    this.#unsent = [];
    for (const bytes of waiting) this.write(bytes);
  }

  #push(chunk: Uint8Array): void {
    this.#cutter.push(chunk);
    if (this.#uncreditedBytes >= CREDIT_STEP_BYTES) {
      this.write(connectionCredit(this.#uncreditedBytes));
      this.#uncreditedBytes = 0;
    }
    this.#handler.onChunkEnd();
  }

  #take(bytes: Uint8Array, at: number, end: number): void {
    const start = at + FRAME_HEADER_BYTES;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const streamId =
      ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    if (type === FrameType.data) {
      if ((flags & PADDED) !== 0) throw new Error(`${this.#address} pads: this client does not read that`);
      this.#uncreditedBytes += end - start;
      this.#handler.onFrame(type, flags, streamId, bytes, start, end);
      return;
    }
    switch (type) {
      case RST_STREAM:
        this.#handler.onFrame(type, flags, streamId, bytes, start, end);
        break;
      case FrameType.headers: {
        if ((flags & (PADDED | PRIORITY)) !== 0 || (flags & Flag.endHeaders) === 0) {
          throw new Error(`${this.#address} sent a header section that this client does not read`);
        }
        const fields = this.#decoder.decode(bytes, start, end, HEADER_LIST_BYTES_MAX);
        const endStream = (flags & Flag.endStream) !== 0;
        this.#handler.onHeaders(streamId, endStream, fields);
        break;
      }
      case FrameType.settings:
        if ((flags & Flag.ack) === 0) this.write(frame(FrameType.settings, Flag.ack, 0, new Uint8Array(0)));
        break;
      case FrameType.ping:
        if ((flags & Flag.ack) === 0) this.write(frame(FrameType.ping, Flag.ack, 0, bytes.slice(start, end)));
        break;
      case FrameType.windowUpdate: {
        const increment =
          bytes[start]! * 2 ** 24 +
          ((bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!);
        if (streamId !== 0) {
          this.#handler.onStreamCredit?.(streamId, increment);
          break;
        }
        this.#sendWindowBytes += increment;
        this.#handler.onCredit();
        break;
      }
    }
  }
}

/** The status in trailers, for people. */
export function statusText(trailers: readonly HeaderField[]): string {
  const valueOf = (wanted: string): string => trailers.find(({ name }) => name === wanted)?.value ?? "";
  return `status ${valueOf("grpc-status")} ${valueOf("grpc-message")}`.trimEnd();
}
