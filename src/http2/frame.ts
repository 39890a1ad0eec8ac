/**
 * Frame layout, types and flags of HTTP/2 (RFC 9113 §4.1, §6), and the writers of every frame we send.
 *
 * Writers append to a connection's output; the payload of HEADERS is written by the header encoder
 * straight behind a frame header left open, which `closeFrame` fills in.
 */
import type { ByteWriter } from "../base/byte-writer.ts";

export const FRAME_HEADER_BYTES = 9;

/** The bytes a client opens a connection with (RFC 9113 §3.4). */
export const CONNECTION_PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const Flag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** Stores a frame header at `at`; the caller has reserved its nine bytes. */
export function storeFrameHeader(
  bytes: Uint8Array,
  at: number,
  payloadBytes: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  bytes[at] = payloadBytes >>> 16;
  bytes[at + 1] = payloadBytes >>> 8;
  bytes[at + 2] = payloadBytes;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes[at + 5] = streamId >>> 24;
  bytes[at + 6] = streamId >>> 16;
  bytes[at + 7] = streamId >>> 8;
  bytes[at + 8] = streamId;
}

/** Appends a frame header. */
export function writeFrameHeader(
  out: ByteWriter,
  payloadBytes: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  out.reserve(FRAME_HEADER_BYTES);
  storeFrameHeader(out.bytes, out.length, payloadBytes, type, flags, streamId);
  out.length += FRAME_HEADER_BYTES;
}

/** Appends a DATA frame with a copy of `bytes[start, end)`. */
export function writeData(
  out: ByteWriter,
  streamId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  endStream: boolean,
): void {
  out.reserve(FRAME_HEADER_BYTES + end - start);
  writeFrameHeader(out, end - start, FrameType.DATA, endStream ? Flag.END_STREAM : 0, streamId);
  out.write(bytes, start, end);
}

export function writeRstStream(out: ByteWriter, streamId: number, code: number): void {
  writeFrameHeader(out, 4, FrameType.RST_STREAM, 0, streamId);
  out.writeUint32(code);
}

/** `streamId` 0 names the connection's window. */
export function writeWindowUpdate(out: ByteWriter, streamId: number, creditBytes: number): void {
  writeFrameHeader(out, 4, FrameType.WINDOW_UPDATE, 0, streamId);
  out.writeUint32(creditBytes);
}

/** `payload[start, start + 8)` is the opaque content. */
export function writePing(out: ByteWriter, ack: boolean, payload: Uint8Array, start: number): void {
  writeFrameHeader(out, 8, FrameType.PING, ack ? Flag.ACK : 0, 0);
  out.write(payload, start, start + 8);
}

export function writeSettingsAck(out: ByteWriter): void {
  writeFrameHeader(out, 0, FrameType.SETTINGS, Flag.ACK, 0);
}

/** Debug text goes out as UTF-8, cut so that it cannot grow with what a peer sent. */
export function writeGoaway(out: ByteWriter, lastStreamId: number, code: number, debugText: string): void {
  const debug = new TextEncoder().encode(debugText.slice(0, 256));
  writeFrameHeader(out, 8 + debug.length, FrameType.GOAWAY, 0, 0);
  out.writeUint32(lastStreamId);
  out.writeUint32(code);
  out.write(debug);
}

/** Reads four bytes as an unsigned number. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
