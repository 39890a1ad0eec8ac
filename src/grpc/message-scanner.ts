/**
 * Follows the boundaries of length-prefixed messages through a stream of bytes (gRPC over HTTP2,
 * "Length-Prefixed-Message") without holding any of them, and finds one that is too long by its prefix.
 */
export class MessageScanner {
  readonly #messageBytesMax: number;
  /** Payload bytes of the current message still to come. */
  #payloadLeft = 0;
  /** Octets of the next prefix that have come. */
  #prefixBytes = 0;
  #length = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Follows `bytes[start, end)`. Returns the length of the first message above the limit, else -1. */
  scan(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#payloadLeft > 0) {
        const skip = Math.min(this.#payloadLeft, end - at);
        this.#payloadLeft -= skip;
        at += skip;
        continue;
      }
      const byte = bytes[at++]!;
      if (this.#prefixBytes > 0) this.#length = this.#length * 256 + byte;
      if (++this.#prefixBytes < MESSAGE_PREFIX_BYTES) continue;
      if (this.#length > this.#messageBytesMax) return this.#length;
      this.#payloadLeft = this.#length;
      this.#prefixBytes = 0;
      this.#length = 0;
    }
    return -1;
  }

  /** Follows `bytes[start, end)` up to the end of the message under way. Returns where that is, or `end`. */
  scanToBoundary(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && !this.atBoundary) {
      const step = this.#payloadLeft > 0 ? Math.min(this.#payloadLeft, end - at) : 1;
      this.scan(bytes, at, at + step);
      at += step;
    }
    return at;
  }

  /** True between two messages: a stream that ends elsewhere was cut short. */
  get atBoundary(): boolean {
    return this.#payloadLeft === 0 && this.#prefixBytes === 0;
  }
}

/** The flag byte and the length in front of each message. */
export const MESSAGE_PREFIX_BYTES = 5;
