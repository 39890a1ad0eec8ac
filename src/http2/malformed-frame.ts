/** What can be wrong with any frame, as connection errors (RFC 9113 §6); GOAWAY, which has parts of its own. */
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { readUint32 } from "./frame.ts";

/** RFC 9113 §6.8. */
export interface Goaway {
  readonly lastStreamId: number;
  readonly code: number;
  readonly debugText: string;
}

/** Octets of a GOAWAY's debug data that are looked at. */
const DEBUG_BYTES_MAX = 256;

/** Reads the payload `[start, end)` of a GOAWAY frame. */
export function readGoaway(bytes: Uint8Array, start: number, end: number): Goaway {
  if (end - start < 8) throw wrongSize("GOAWAY");
  const debugBytes = Math.min(end - start - 8, DEBUG_BYTES_MAX);
  return {
    lastStreamId: readUint32(bytes, start) & 0x7fffffff,
    code: readUint32(bytes, start + 4),
    debugText: Buffer.from(bytes.buffer, bytes.byteOffset + start + 8, debugBytes).toString(),
  };
}

/** Length of the padding behind `[start, end)`'s content (RFC 9113 §6.1). */
export function paddingBytes(frame: string, bytes: Uint8Array, start: number, end: number): number {
  if (end === start) throw wrongSize(frame);
  const padding = bytes[start]!;
  if (padding >= end - start) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} padding is longer than the frame`);
  }
  return padding;
}

export function wrongSize(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `${frame} has a wrong size`);
}

export function onStream(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on a stream`);
}

export function onConnection(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on stream 0`);
}

export function onIdle(frame: string, id: number): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on idle stream ${id}`);
}
