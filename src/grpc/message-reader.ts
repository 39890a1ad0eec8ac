/**
 * Cuts a stream of bytes into length-prefixed messages (gRPC over HTTP2, "Length-Prefixed-Message").
 *
 * A message that lies whole in one chunk is handed out where it lies. Only one that is cut by the end of a chunk is
 * gathered, in a buffer of its own that grows with the bytes that come: a length that is merely announced costs
 * nothing.
 */
import { MESSAGE_PREFIX_BYTES } from "./message-scanner.ts";

/** `bytes[start, end)` is a message, without its prefix. What is not copied must be used before this returns. */
export type OnMessage = (bytes: Uint8Array, start: number, end: number) => void;

/** Result of `read`: a message's flag says that it is compressed, which nobody here can read. */
export const COMPRESSED_MESSAGE = -2;
const READ = -1;

const NO_BYTES = new Uint8Array(0);

export class MessageReader {
  readonly #messageBytesMax: number;
  /** Octets of the current prefix that have come: all five while its payload is on its way. */
  #prefixBytes = 0;
  #compressed = false;
  #length = 0;
  /** The first `#gatheredBytes` of the current payload, if it has been cut. */
  #gathered = NO_BYTES;
  #gatheredBytes = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /**
   * Reads `bytes[start, end)` and hands out the messages that end there. Returns -1; or, by its prefix alone, the
   * length of a message above the limit, or `COMPRESSED_MESSAGE`: then the stream has to end, and nothing more may be read.
   */
  read(bytes: Uint8Array, start: number, end: number, onMessage: OnMessage): number {
    let at = start;
    for (;;) {
      while (this.#prefixBytes < MESSAGE_PREFIX_BYTES) {
        if (at === end) return READ;
        const byte = bytes[at++]!;
        if (this.#prefixBytes === 0) this.#compressed = byte !== 0;
        else this.#length = this.#length * 256 + byte;
        if (++this.#prefixBytes < MESSAGE_PREFIX_BYTES) continue;
        if (this.#length > this.#messageBytesMax) return this.#length;
        if (this.#compressed) return COMPRESSED_MESSAGE;
      }
      const size = Math.min(this.#length - this.#gatheredBytes, end - at);
      const messageStart = at;
      at += size;
      if (size === this.#length) {
        this.#startAfresh();
        onMessage(bytes, messageStart, at);
        continue;
      }
      this.#gather(bytes, messageStart, at);
      if (this.#gatheredBytes < this.#length) return READ;
      const message = this.#gathered;
      this.#startAfresh();
      onMessage(message, 0, message.length);
    }
  }

  /** What an unfinished message takes: at most twice the bytes that came of it. 0 only between two messages. */
  get heldBytes(): number {
    return this.#prefixBytes + this.#gathered.length;
  }

  #gather(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) return;
    const needed = this.#gatheredBytes + end - start;
    if (needed > this.#gathered.length) {
      // Twice as large, so that no byte is copied often, but never beyond the message.
      const grown = new Uint8Array(Math.min(this.#length, Math.max(needed, 2 * this.#gathered.length)));
      grown.set(this.#gathered.subarray(0, this.#gatheredBytes));
      this.#gathered = grown;
    }
    this.#gathered.set(bytes.subarray(start, end), this.#gatheredBytes);
    this.#gatheredBytes = needed;
  }

  #startAfresh(): void {
    this.#prefixBytes = 0;
    this.#length = 0;
    this.#gathered = NO_BYTES;
    this.#gatheredBytes = 0;
  }
}
