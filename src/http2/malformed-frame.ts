/** The connection errors that a frame in the wrong place or of the wrong size is (RFC 9113 §6). */
import { ConnectionError, ErrorCode } from "./error-code.ts";

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
