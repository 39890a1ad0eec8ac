/**
 * Requests of a client stream that has too many under way, as the bytes they came in.
 *
 * They cost their bytes and nothing more; the client's window bounds them, since nothing in here has been credited.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";

const LENGTH_BYTES = 4;

export class RequestBacklog {
  #writer: ByteWriter | null = null;
  #at = 0;

  get empty(): boolean {
    return this.#writer === null;
  }

  /** What it takes, in bytes: at most four times the requests in it, and a bit. */
  get heldBytes(): number {
    return this.#writer?.bytes.length ?? 0;
  }

  /** Keeps a copy of the request `bytes[start, end)`. */
  add(bytes: Uint8Array, start: number, end: number): void {
    this.#writer ??= new ByteWriter();
    if (this.#at * 2 > this.#writer.length) {
      this.#writer.discard(this.#at);
      this.#at = 0;
    }
    this.#writer.writeUint32(end - start);
    this.#writer.write(bytes, start, end);
  }

  /** Hands out the oldest request, valid during this call only. */
  take(onRequest: (bytes: Uint8Array, start: number, end: number) => void): void {
    const writer = this.#writer;
    if (writer === null) return;
    const { bytes } = writer;
    const start = this.#at + LENGTH_BYTES;
    const end = start + new DataView(bytes.buffer, bytes.byteOffset).getUint32(this.#at);
    this.#at = end;
    if (end === writer.length) {
      this.#writer = null;
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
