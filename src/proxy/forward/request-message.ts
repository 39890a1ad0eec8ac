/**
 * Gathers the one request message of a unary or server-streaming call, prefix included.
 *
 * Nearly every request comes in one piece out of a small chunk, and stays where it lies; out of a large chunk it
 * is copied, so that one pending call cannot keep much more memory than it is accounted for. Only a message that
 * comes in pieces is put together, never beyond the limit and never ahead of what has arrived.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { copyBytes } from "../../base/copy-bytes.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { readUint32 } from "../../http2/frame.ts";

/** Chunks up to this size are kept for the sake of a message in them. */
const KEPT_CHUNK_BYTES_MAX = 16 * 1024;

const NO_BYTES = new Uint8Array(0);

export class RequestMessage {
  readonly #messageBytesMax: number;
  #partial: ByteWriter | null = null;
  /** True once the message is complete: it is `bytes[start, end)`, with its prefix. */
  whole = false;
  bytes: Uint8Array = NO_BYTES;
  start = 0;
  end = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /**
   * Takes in `bytes[start, end)`, never changed afterwards. Returns the message's length when that is above the
   * limit, `EXTRA` when bytes follow the message, else -1.
   */
  add(bytes: Uint8Array, start: number, end: number): number {
    if (this.whole) return EXTRA;
    if (this.#partial === null && end - start >= MESSAGE_PREFIX_BYTES) {
      const length = readUint32(bytes, start + 1);
      if (length > this.#messageBytesMax) return length;
      if (MESSAGE_PREFIX_BYTES + length === end - start) {
        if (bytes.length <= KEPT_CHUNK_BYTES_MAX) this.#complete(bytes, start, end);
        else this.#complete(copyBytes(bytes, start, end), 0, end - start);
        return -1;
      }
    }
    this.#partial ??= new ByteWriter();
    const partial = this.#partial;
    partial.write(bytes, start, end);
    if (partial.length < MESSAGE_PREFIX_BYTES) return -1;
    const length = readUint32(partial.bytes, 1);
    if (length > this.#messageBytesMax) return length;
    const total = MESSAGE_PREFIX_BYTES + length;
    if (partial.length > total) return EXTRA;
    if (partial.length === total) {
      this.#partial = null;
      this.#complete(partial.bytes, 0, total);
    }
    return -1;
  }

  /** Bytes of memory that are kept for the message. */
  get keptBytes(): number {
    return this.#partial?.bytes.length ?? this.bytes.length;
  }

  /** The whole message with its prefix; only once it is `whole`. */
  get framed(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  #complete(bytes: Uint8Array, start: number, end: number): void {
    this.whole = true;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }
}

/** Bytes follow the one message that the method takes. */
export const EXTRA = -2;
