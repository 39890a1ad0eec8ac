/**
 * Gathers a header block that comes in a HEADERS frame and CONTINUATION frames (RFC 9113 §4.3, §6.10).
 *
 * Only blocks that are cut into several frames come here. Both the bytes and the number of frames are
 * bounded: neither a large block nor thousands of tiny frames may be made to be held.
 */
import { ByteWriter } from "../base/byte-writer.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import type { Http2Limits } from "./limits.ts";

export class HeaderBlockReader {
  readonly #limits: Http2Limits;
  #block: ByteWriter | null = null;
  #continuationFrames = 0;
  streamId = 0;
  endStream = false;
  /** The HEADERS frame named its own stream as the one it depends on. */
  selfDependent = false;

  constructor(limits: Http2Limits) {
    this.#limits = limits;
  }

  /** True between a HEADERS frame without END_HEADERS and the CONTINUATION frame with it. */
  get open(): boolean {
    return this.#block !== null;
  }

  begin(
    streamId: number,
    endStream: boolean,
    selfDependent: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#block = new ByteWriter();
    this.#continuationFrames = 0;
    this.streamId = streamId;
    this.endStream = endStream;
    this.selfDependent = selfDependent;
    this.#add(bytes, start, end);
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM beyond either bound. */
  append(bytes: Uint8Array, start: number, end: number): void {
    this.#continuationFrames++;
    if (this.#continuationFrames > this.#limits.continuationFramesMax) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
    }
    this.#add(bytes, start, end);
  }

  /** The whole block. */
  finish(): Uint8Array {
    const block = this.#block!.toBytes();
    this.#block = null;
    return block;
  }

  #add(bytes: Uint8Array, start: number, end: number): void {
    const block = this.#block!;
    if (block.length + end - start > this.#limits.headerBlockBytesMax) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "header block is too large");
    }
    block.write(bytes, start, end);
  }
}
