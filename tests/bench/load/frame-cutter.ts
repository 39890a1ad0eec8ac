/**
 * Cuts the bytes of an HTTP/2 connection into frames (RFC 9113 §4.1), however the chunks fall.
 *
 * A frame that lies in one chunk is told where it lies; only one that a chunk cuts in two is copied together.
 * Invariant: it holds one frame at most, and no longer one than SETTINGS_MAX_FRAME_SIZE allows before any SETTINGS.
 */

export const FRAME_HEADER_BYTES = 9;
const PAYLOAD_BYTES_MAX = 16_384;

/** Gets a whole frame: its header is `bytes[at, at + 9)`, its payload ends before `bytes[end]`. */
export type TakeFrame = (bytes: Uint8Array, at: number, end: number) => void;

export class FrameCutter {
  readonly #take: TakeFrame;
  /** The beginning of a frame that goes on in the next chunk. */
  readonly #begun = new Uint8Array(FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX);
  #begunBytes = 0;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** Takes the next bytes. @throws Error when a frame is longer than the peer may send. */
  push(chunk: Uint8Array): void {
    let at = this.#begunBytes > 0 ? this.#complete(chunk) : 0;
    const length = chunk.length;
    while (length - at >= FRAME_HEADER_BYTES) {
      const end = frameEnd(chunk, at);
      if (end > length) break;
      this.#take(chunk, at, end);
      at = end;
    }
    if (at === length) return;
    if (length - at >= FRAME_HEADER_BYTES) checkLength(chunk, at);
    this.#begun.set(chunk.subarray(at), this.#begunBytes);
    this.#begunBytes += length - at;
  }

  /** Adds to the frame that was begun. Returns where the next one begins in `chunk`. */
  #complete(chunk: Uint8Array): number {
    let at = 0;
    while (this.#begunBytes < FRAME_HEADER_BYTES) {
      if (at === chunk.length) return at;
      this.#begun[this.#begunBytes++] = chunk[at++]!;
    }
    checkLength(this.#begun, 0);
    const end = frameEnd(this.#begun, 0);
    const taken = Math.min(end - this.#begunBytes, chunk.length - at);
    this.#begun.set(chunk.subarray(at, at + taken), this.#begunBytes);
    this.#begunBytes += taken;
    if (this.#begunBytes === end) {
      this.#begunBytes = 0;
      this.#take(this.#begun, 0, end);
    }
    return at + taken;
  }
}

function frameEnd(bytes: Uint8Array, at: number): number {
  return at + FRAME_HEADER_BYTES + ((bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!);
}

function checkLength(bytes: Uint8Array, at: number): void {
  const payloadBytes = frameEnd(bytes, at) - at - FRAME_HEADER_BYTES;
  if (payloadBytes > PAYLOAD_BYTES_MAX)
    throw new Error(`a frame of ${payloadBytes} bytes, more than is allowed`);
}
