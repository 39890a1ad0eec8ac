/**
 * Requests of a client stream that has too many under way, as the bytes they came in.
 *
 * They cost their bytes and little more: they lie in blocks, each given back once its last request is taken. The
 * client's window bounds them, since nothing in here has been credited.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { readUint32 } from "../../http2/frame.ts";

const LENGTH_BYTES = 4;
/** What one block holds; a request that is longer has a block of its own. */
const BLOCK_BYTES = 8 * 1024;

export class RequestBacklog {
  /** The oldest first. */
  readonly #blocks: ByteWriter[] = [];
  /** Where the oldest request begins in the first block. */
  #at = 0;

  get empty(): boolean {
    return this.#blocks.length === 0;
  }

  /** What it takes, in bytes. */
  get heldBytes(): number {
    return this.#blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Keeps a copy of the request `bytes[start, end)`. */
  add(bytes: Uint8Array, start: number, end: number): void {
    const size = LENGTH_BYTES + end - start;
    let block = this.#blocks.at(-1);
    if (block !== undefined && this.#blocks.length === 1 && this.#at * 2 > block.length) {
      block.discard(this.#at);
      this.#at = 0;
    }
    if (block === undefined || block.length + size > BLOCK_BYTES) {
      block = new ByteWriter();
      this.#blocks.push(block);
    }
    block.reserve(size);
    block.writeUint32(end - start);
    block.write(bytes, start, end);
  }

  /** Hands out the oldest request, valid during this call only. */
  take(onRequest: (bytes: Uint8Array, start: number, end: number) => void): void {
    const block = this.#blocks[0];
    if (block === undefined) return;
    const { bytes } = block;
    const start = this.#at + LENGTH_BYTES;
    const end = start + readUint32(bytes, this.#at);
    this.#at = end;
    if (end === block.length) {
      this.#blocks.shift();
      this.#at = 0;
    }
    onRequest(bytes, start, end);
  }

  /** Forgets all requests. Returns their length, prefixes included. */
  clear(): number {
    let sizes = 0;
    while (!this.empty) this.take((_bytes, start, end) => (sizes += MESSAGE_PREFIX_BYTES + end - start));
    return sizes;
  }
}
