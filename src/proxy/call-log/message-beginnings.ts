/**
 * Cuts a stream of bytes into length-prefixed messages and keeps the beginning of each: all that a log line can show.
 *
 * However long a message is, no more than `KEPT_BYTES` of it are held; its length is known all the same. Compressed ones
 * count like others.
 */
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";

export const KEPT_BYTES = 16 * 1024;

/** `beginning` must be used before this returns; `length` is that of the whole message. */
export type OnMessageBeginning = (beginning: Uint8Array, length: number, compressed: boolean) => void;

export class MessageBeginnings {
  readonly #onMessage: OnMessageBeginning;
  #prefixBytes = 0;
  #compressed = false;
  #length = 0;
  /** Bytes of the message that have come. */
  #seenBytes = 0;
  /** The first `#keptBytes` are what was kept of a message that comes in several pieces. */
  #kept = NO_BYTES;
  #keptBytes = 0;

  constructor(onMessage: OnMessageBeginning) {
    this.#onMessage = onMessage;
  }

  /** True between two messages. */
  get atBoundary(): boolean {
    return this.#prefixBytes === 0;
  }

  /** Takes in `bytes[start, end)`. */
  add(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    for (;;) {
      while (this.#prefixBytes < MESSAGE_PREFIX_BYTES) {
        if (at === end) return;
        const byte = bytes[at++]!;
        if (this.#prefixBytes++ === 0) this.#compressed = byte !== 0;
        else this.#length = this.#length * 256 + byte;
      }
      const size = Math.min(this.#length - this.#seenBytes, end - at);
      const kept = bytes.subarray(at, at + Math.min(size, KEPT_BYTES - this.#keptBytes));
      at += size;
      this.#seenBytes += size;
      if (this.#seenBytes < this.#length) {
        this.#keep(kept);
        return;
      }
      if (this.#keptBytes > 0) this.#keep(kept);
      this.#finish(this.#keptBytes > 0 ? this.#kept.subarray(0, this.#keptBytes) : kept);
    }
  }

  /** Copies: whose bytes they are may be used again. */
  #keep(bytes: Uint8Array): void {
    const needed = this.#keptBytes + bytes.length;
    if (needed > this.#kept.length) {
      const grown = new Uint8Array(Math.min(KEPT_BYTES, Math.max(needed, 2 * this.#kept.length)));
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(bytes, this.#keptBytes);
    this.#keptBytes = needed;
  }

  #finish(beginning: Uint8Array): void {
    const length = this.#length;
    this.#prefixBytes = 0;
    this.#length = 0;
    this.#seenBytes = 0;
    this.#kept = NO_BYTES;
    this.#keptBytes = 0;
    this.#onMessage(beginning, length, this.#compressed);
  }
}

const NO_BYTES = new Uint8Array(0);
