/**
 * Cuts the bytes of a connection into frames (RFC 9113 §4.1).
 *
 * Stands between the socket's chunks and the connection's frame handling. A frame that lies whole in a
 * chunk is handed out where it lies; only one that is cut in two is gathered, so at most one frame of
 * the advertised size is held. The frames do not depend on how the bytes were cut into chunks.
 */
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";

export interface FrameSink {
  /** One frame, its payload at `bytes[start, end)`; the bytes stay intact after the call. */
  onFrame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void;
  /** True once no further frame is wanted. */
  readonly ended: boolean;
}

export class FrameReader {
  readonly #frameBytesMax: number;
  readonly #sink: FrameSink;
  /** The beginning of a frame whose end has not come yet; `#partialBytes` of it are filled. */
  #partial: Uint8Array | null = null;
  #partialBytes = 0;

  /** `frameBytesMax` is the SETTINGS_MAX_FRAME_SIZE that we advertise. */
  constructor(frameBytesMax: number, sink: FrameSink) {
    this.#frameBytesMax = frameBytesMax;
    this.#sink = sink;
  }

  /** Takes in `chunk[start, length)`. @throws ConnectionError FRAME_SIZE_ERROR on a frame above the limit. */
  read(chunk: Uint8Array, start: number): void {
    const sink = this.#sink;
    const end = chunk.length;
    let at = start;
    if (this.#partial !== null) at = this.#completePartial(chunk, at);
    while (end - at >= FRAME_HEADER_BYTES && !sink.ended) {
      const payloadBytes = this.#payloadBytes(chunk, at);
      const payload = at + FRAME_HEADER_BYTES;
      const next = payload + payloadBytes;
      if (next > end) break;
      sink.onFrame(chunk[at + 3]!, chunk[at + 4]!, streamIdAt(chunk, at), chunk, payload, next);
      at = next;
    }
    if (at < end && !sink.ended) this.#keepPartial(chunk, at);
  }

  /** What a frame that is not whole takes. */
  get heldBytes(): number {
    return this.#partial === null ? 0 : this.#partial.length;
  }

  #payloadBytes(bytes: Uint8Array, at: number): number {
    const payloadBytes = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (payloadBytes > this.#frameBytesMax) {
      throw new ConnectionError(
        ErrorCode.FRAME_SIZE_ERROR,
        `frame of ${payloadBytes} bytes, at most ${this.#frameBytesMax} are allowed`,
        "frameSize",
      );
    }
    return payloadBytes;
  }

  #keepPartial(chunk: Uint8Array, at: number): void {
    const held = chunk.length - at;
    const size =
      held >= FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES + this.#payloadBytes(chunk, at) : FRAME_HEADER_BYTES;
    const partial = new Uint8Array(size);
    partial.set(chunk.subarray(at));
    this.#partial = partial;
    this.#partialBytes = held;
  }

  /** Moves bytes of the chunk into the partial frame; returns where the chunk's own frames begin. */
  #completePartial(chunk: Uint8Array, start: number): number {
    let at = start;
    for (;;) {
      const partial = this.#partial!;
      const take = Math.min(partial.length - this.#partialBytes, chunk.length - at);
      partial.set(chunk.subarray(at, at + take), this.#partialBytes);
      this.#partialBytes += take;
      at += take;
      if (this.#partialBytes < partial.length) return at;
      if (partial.length === FRAME_HEADER_BYTES) {
        const payloadBytes = this.#payloadBytes(partial, 0);
        if (payloadBytes > 0) {
          const grown = new Uint8Array(FRAME_HEADER_BYTES + payloadBytes);
          grown.set(partial);
          this.#partial = grown;
          continue;
        }
      }
      this.#partial = null;
      this.#partialBytes = 0;
      this.#sink.onFrame(
        partial[3]!,
        partial[4]!,
        streamIdAt(partial, 0),
        partial,
        FRAME_HEADER_BYTES,
        partial.length,
      );
      return at;
    }
  }
}

/** The stream identifier of a frame header, its reserved bit ignored (RFC 9113 §4.1). */
function streamIdAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
}
