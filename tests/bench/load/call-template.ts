/**
 * A unary call as frames, ready to be sent again and again: a copy is made, and the stream's id written in.
 */
import { Flag, frame, FrameType } from "../floors/frames.ts";
import { FRAME_HEADER_BYTES } from "./frame-cutter.ts";
import { PREFIX_BYTES } from "./message-cutter.ts";

const STREAM_ID_AT = 5;

export class CallTemplate {
  /** A HEADERS and a DATA frame. */
  readonly bytes: Uint8Array;
  /** What counts against the window. */
  readonly dataBytes: number;
  readonly #dataAt: number;

  /** @param headerBlock of the call. @param message the request, without its length prefix. */
  constructor(headerBlock: Uint8Array, message: Uint8Array) {
    const headers = frame(FrameType.headers, Flag.endHeaders, 0, headerBlock);
    const data = frame(FrameType.data, Flag.endStream, 0, prefixed(message));
    this.bytes = Buffer.concat([headers, data]);
    this.dataBytes = data.length - FRAME_HEADER_BYTES;
    this.#dataAt = headers.length;
  }

  /** Writes the call's frames to `out[at]`. @returns where they end. */
  copyTo(out: Uint8Array, at: number, streamId: number): number {
    out.set(this.bytes, at);
    writeStreamId(out, at, streamId);
    writeStreamId(out, at + this.#dataAt, streamId);
    return at + this.bytes.length;
  }
}

/** A message of a call with its length prefix: not compressed, length in four bytes. */
export function prefixed(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(PREFIX_BYTES + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** Writes the stream's id into the frame at `bytes[frameAt]`. */
function writeStreamId(bytes: Uint8Array, frameAt: number, streamId: number): void {
  const at = frameAt + STREAM_ID_AT;
  bytes[at] = streamId >>> 24;
  bytes[at + 1] = streamId >>> 16;
  bytes[at + 2] = streamId >>> 8;
  bytes[at + 3] = streamId;
}
