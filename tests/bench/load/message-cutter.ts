/**
 * Cuts the DATA of a stream into gRPC messages, however the frames fall.
 *
 * A message that lies in one frame is told where it lies; only one that goes over several is copied together.
 */

export const PREFIX_BYTES = 5;
const FIRST_BYTES = 1 << 16;
const MESSAGE_BYTES_MAX = 64 << 20;

/** Gets a whole message: `bytes[start, end)`, without its prefix. */
export type TakeMessage = (bytes: Uint8Array, start: number, end: number) => void;

export class MessageCutter {
  readonly #take: TakeMessage;
  /** The beginning of a message that goes on in the next frame, prefix and all. */
  #begun = new Uint8Array(FIRST_BYTES);
  #begunBytes = 0;

  constructor(take: TakeMessage) {
    this.#take = take;
  }

  /** Takes the next bytes, `bytes[start, end)`. @throws Error when a message is longer than any should be. */
  push(bytes: Uint8Array, start: number, end: number): void {
    let at = this.#begunBytes > 0 ? this.#complete(bytes, start, end) : start;
    while (end - at >= PREFIX_BYTES) {
      const messageEnd = at + wholeBytes(bytes, at);
      if (messageEnd > end) break;
      this.#take(bytes, at + PREFIX_BYTES, messageEnd);
      at = messageEnd;
    }
    if (at < end) {
      this.#begun.set(bytes.subarray(at, end), this.#begunBytes);
      this.#begunBytes += end - at;
    }
  }

  /** Adds to the message that was begun. Returns where the next one begins. */
  #complete(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (this.#begunBytes < PREFIX_BYTES) {
      if (at === end) return at;
      this.#begun[this.#begunBytes++] = bytes[at++]!;
    }
    const whole = wholeBytes(this.#begun, 0);
    this.#makeRoom(whole);
    const taken = Math.min(whole - this.#begunBytes, end - at);
    this.#begun.set(bytes.subarray(at, at + taken), this.#begunBytes);
    this.#begunBytes += taken;
    if (this.#begunBytes === whole) {
      this.#begunBytes = 0;
      this.#take(this.#begun, PREFIX_BYTES, whole);
    }
    return at + taken;
  }

  #makeRoom(byteLength: number): void {
    if (byteLength <= this.#begun.length) return;
    if (byteLength > MESSAGE_BYTES_MAX) throw new Error(`a message of ${byteLength} bytes`);
    const larger = new Uint8Array(byteLength);
    larger.set(this.#begun.subarray(0, this.#begunBytes));
    this.#begun = larger;
  }
}

/** Length of the message at `bytes[at]` with its prefix. */
function wholeBytes(bytes: Uint8Array, at: number): number {
  const length = bytes[at + 1]! * 2 ** 24 + ((bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!);
  return PREFIX_BYTES + length;
}
