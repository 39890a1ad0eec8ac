/**
 * Turns HEADERS and CONTINUATION frames into header sections (RFC 9113 §4.3, §6.2, §6.10).
 *
 * Stands between the connection's frames and the header decoder. A block in one frame is decoded where it
 * lies; one that is cut into several is gathered, and both its bytes and its frames are bounded: neither a
 * large block nor thousands of tiny frames may be made to be held. Every block that is whole is decoded,
 * wanted or not, because the connection's compression state depends on it.
 */
import { ByteWriter } from "../base/byte-writer.ts";
import { HpackDecoder } from "../hpack/decoder.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, readUint32 } from "./frame.ts";
import type { Http2Limits } from "./limits.ts";
import { paddingBytes, wrongSize } from "./malformed-frame.ts";

const PRIORITY_BYTES = 5;

export class HeaderBlockReader {
  /** The stream whose block is open, or was read last. */
  streamId = 0;
  /** The HEADERS frame of that block had END_STREAM. */
  endStream = false;
  /** The section read last is above `headerListBytesMax`; its fields are incomplete. */
  tooLarge = false;
  readonly #limits: Http2Limits;
  readonly #decoder: HpackDecoder;
  #block: ByteWriter | null = null;
  #continuationFrames = 0;

  /** `tableBytesMax` is the SETTINGS_HEADER_TABLE_SIZE that we advertise. */
  constructor(limits: Http2Limits, tableBytesMax: number) {
    this.#limits = limits;
    this.#decoder = new HpackDecoder({ tableBytesMax });
  }

  /** True between a HEADERS frame without END_HEADERS and the CONTINUATION frame with it. */
  get open(): boolean {
    return this.#block !== null;
  }

  /** What a header block that is not whole takes. */
  get heldBytes(): number {
    return this.#block === null ? 0 : this.#block.bytes.length;
  }

  /**
   * Takes the payload of a HEADERS frame. Returns its section, or null while CONTINUATION frames are to come.
   * @throws ConnectionError, HpackError for a frame or block that leaves the connection unusable.
   */
  headers(
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): readonly HeaderField[] | null {
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      to -= paddingBytes("HEADERS", bytes, start, end);
      from++;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (to - from < PRIORITY_BYTES) throw wrongSize("HEADERS");
      checkDependency(id, bytes, from);
      from += PRIORITY_BYTES;
    }
    this.streamId = id;
    this.endStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) return this.#decode(bytes, from, to);
    this.#block = new ByteWriter();
    this.#continuationFrames = 0;
    this.#gather(this.#block, bytes, from, to);
    return null;
  }

  /**
   * Takes the payload of a CONTINUATION frame, like `headers`.
   * @throws ConnectionError ENHANCE_YOUR_CALM beyond either bound.
   */
  continuation(flags: number, bytes: Uint8Array, start: number, end: number): readonly HeaderField[] | null {
    const block = this.#block;
    if (block === null) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    this.#continuationFrames++;
    if (this.#continuationFrames > this.#limits.continuationFramesMax) {
      throw new ConnectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        "too many CONTINUATION frames",
        "continuationFrames",
      );
    }
    this.#gather(block, bytes, start, end);
    if ((flags & Flag.END_HEADERS) === 0) return null;
    this.#block = null;
    return this.#decode(block.bytes, 0, block.length);
  }

  #decode(bytes: Uint8Array, start: number, end: number): readonly HeaderField[] {
    const { headerListBytesMax } = this.#limits;
    const fields = this.#decoder.decode(bytes, start, end, headerListBytesMax);
    this.tooLarge = this.#decoder.lastListBytes > headerListBytesMax;
    return fields;
  }

  #gather(block: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
    if (block.length + end - start > this.#limits.headerBlockBytesMax) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "header block is too large", "headerBlock");
    }
    block.write(bytes, start, end);
  }
}

/**
 * The priority field at `bytes[at]` must not name its own stream (RFC 7540 §5.3.1; RFC 9113 §5.3.2 has made
 * the field obsolete). No client does so by accident: it costs the connection.
 */
export function checkDependency(streamId: number, bytes: Uint8Array, at: number): void {
  if ((readUint32(bytes, at) & 0x7fffffff) !== streamId) return;
  throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${streamId} depends on itself`);
}
