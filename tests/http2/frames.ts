/**
 * Frames written and read by hand (RFC 9113 §4.1, §6): the tests' own view of the wire.
 *
 * It shares nothing with the engine's writers and readers, so that a fault in those cannot hide itself.
 */
import { errorCodeName } from "../../src/http2/error-code.ts";

export interface WireFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

export const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const ACK = 0x1;
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const HAS_PRIORITY = 0x20;

/** Settings by their number (RFC 9113 §6.5.2). */
export const HEADER_TABLE_SIZE = 1;
export const ENABLE_PUSH = 2;
export const MAX_CONCURRENT_STREAMS = 3;
export const INITIAL_WINDOW_SIZE = 4;
export const MAX_FRAME_SIZE = 5;

/** Error codes by their number (RFC 9113 §7). */
export const NO_ERROR = 0;
export const REFUSED_STREAM = 7;
export const CANCEL = 8;

const NO_PAYLOAD = new Uint8Array(0);

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = NO_PAYLOAD,
): Uint8Array {
  const size = payload.length;
  return concat([Uint8Array.of(size >> 16, size >> 8, size, type, flags), uint32(streamId), payload]);
}

export function data(streamId: number, content: string | Uint8Array, flags = 0): Uint8Array {
  return frame(DATA, flags, streamId, typeof content === "string" ? text(content) : content);
}

/** DATA with `padding` octets of padding behind its content. */
export function paddedData(streamId: number, content: string, padding: number, flags = 0): Uint8Array {
  const payload = concat([Uint8Array.of(padding), text(content), new Uint8Array(padding)]);
  return frame(DATA, flags | PADDED, streamId, payload);
}

export function settings(...entries: readonly (readonly [id: number, value: number])[]): Uint8Array {
  return frame(
    SETTINGS,
    0,
    0,
    concat(entries.map(([id, value]) => concat([Uint8Array.of(id >> 8, id), uint32(value)]))),
  );
}

export function windowUpdate(streamId: number, creditBytes: number): Uint8Array {
  return frame(WINDOW_UPDATE, 0, streamId, uint32(creditBytes));
}

export function rstStream(streamId: number, code: number): Uint8Array {
  return frame(RST_STREAM, 0, streamId, uint32(code));
}

export function ping(content: string, flags = 0): Uint8Array {
  return frame(PING, flags, 0, text(content));
}

export function goaway(lastStreamId: number, code: number, debug = ""): Uint8Array {
  return frame(GOAWAY, 0, 0, concat([uint32(lastStreamId), uint32(code), text(debug)]));
}

/** PRIORITY, or the priority field of HEADERS. */
export function priorityField(dependsOn: number): Uint8Array {
  return concat([uint32(dependsOn), Uint8Array.of(15)]);
}

export function uint32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Cuts `bytes` into whole frames. @throws when the last one is cut off: the engine never writes half a frame. */
export function parseFrames(bytes: Uint8Array): WireFrame[] {
  const frames: WireFrame[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at < bytes.length) {
    const end = at + 9 + (view.getUint16(at) * 256 + view.getUint8(at + 2));
    if (end > bytes.length) throw new Error("output ends within a frame");
    frames.push({
      type: view.getUint8(at + 3),
      flags: view.getUint8(at + 4),
      streamId: view.getUint32(at + 5),
      payload: bytes.slice(at + 9, end),
    });
    at = end;
  }
  return frames;
}

export function readUint(payload: Uint8Array, at: number): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(at);
}

/** One line for a frame other than HEADERS, such as `RST_STREAM 1 CANCEL` or `DATA 3 5 bytes END_STREAM`. */
export function frameLine({ type, flags, streamId, payload }: WireFrame): string {
  switch (type) {
    case DATA:
      return `DATA ${streamId} ${payload.length} bytes${(flags & END_STREAM) !== 0 ? " END_STREAM" : ""}`;
    case RST_STREAM:
      return `RST_STREAM ${streamId} ${errorCodeName(readUint(payload, 0))}`;
    case SETTINGS:
      return (flags & ACK) !== 0 ? "SETTINGS ACK" : `SETTINGS ${settingsText(payload)}`.trim();
    case PING:
      return `PING ${new TextDecoder().decode(payload)}${(flags & ACK) !== 0 ? " ACK" : ""}`;
    case GOAWAY:
      return `GOAWAY ${readUint(payload, 0)} ${errorCodeName(readUint(payload, 4))}`;
    case WINDOW_UPDATE:
      return `WINDOW_UPDATE ${streamId} +${readUint(payload, 0)}`;
    case CONTINUATION:
      return `CONTINUATION ${streamId} ${payload.length} bytes`;
    default:
      return `frame of type ${type}`;
  }
}

function settingsText(payload: Uint8Array): string {
  const entries: string[] = [];
  for (let at = 0; at < payload.length; at += 6) {
    entries.push(`${payload[at]! * 256 + payload[at + 1]!}=${readUint(payload, at + 2)}`);
  }
  return entries.join(" ");
}
