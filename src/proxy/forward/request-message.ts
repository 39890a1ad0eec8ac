/**
 * Gathers the one request message of a unary or server-streaming call, prefix included.
 *
 * Nearly every request comes in one piece and costs one copy, out of the chunk it came in; only a message
 * that comes in pieces grows, never beyond the limit and never ahead of what has arrived.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { readUint32 } from "../../http2/frame.ts";

export class RequestMessage {
  readonly #messageBytesMax: number;
  #whole: Uint8Array | null = null;
  #partial: ByteWriter | null = null;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /**
   * Takes in `bytes[start, end)`. Returns the message's length when that is above the limit, `EXTRA` when
   * bytes follow the message, else -1.
   */
  add(bytes: Uint8Array, start: number, end: number): number {
    if (this.#whole !== null) return EXTRA;
    if (this.#partial === null && end - start >= MESSAGE_PREFIX_BYTES) {
      const length = readUint32(bytes, start + 1);
      if (length > this.#messageBytesMax) return length;
      const total = MESSAGE_PREFIX_BYTES + length;
      if (total === end - start) {
        this.#whole = bytes.slice(start, end);
        return -1;
      }
    }
    this.#partial ??= new ByteWriter();
    const partial = this.#partial;
    partial.write(bytes, start, end);
    if (partial.length < MESSAGE_PREFIX_BYTES) return -1;
    const length = readUint32(partial.bytes, 1);
    if (length > this.#messageBytesMax) return length;
    if (partial.length > MESSAGE_PREFIX_BYTES + length) return EXTRA;
    if (partial.length === MESSAGE_PREFIX_BYTES + length) {
      this.#whole = partial.toBytes();
      this.#partial = null;
    }
    return -1;
  }

  /** The whole message with its prefix, null while it is not whole. */
  get framed(): Uint8Array | null {
    return this.#whole;
  }
}

/** Bytes follow the one message that the method takes. */
export const EXTRA = -2;
