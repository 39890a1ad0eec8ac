/**
 * The sending half of a connection: frames of all streams in one output, within both levels of flow control
 * (RFC 9113 §5.2, §6.9).
 *
 * Stands between the streams, which hand over header sections and DATA, and the socket's owner, who empties
 * `output`. DATA enters the output only while the socket takes it, so what a slow peer costs stays in its
 * streams' queues; header sections and control frames always enter, and a peer that lets them pile up is cut.
 */
import { POOLED_BLOCK_BYTES } from "../base/buffer-pool.ts";
import { ByteWriter } from "../base/byte-writer.ts";
import { HpackEncoder } from "../hpack/encoder.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, FRAME_HEADER_BYTES, FrameType, storeFrameHeader, writeData } from "./frame.ts";
import type { Http2Limits } from "./limits.ts";
import { SendScheduler } from "./send-scheduler.ts";
import { defaultSettings, type Settings, WINDOW_BYTES_DEFAULT, WINDOW_BYTES_MAX } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** What the owner of `output` is told. */
export interface OutputListener {
  /** `output` has something and nothing has been asked for yet: flush at the end of this turn. */
  onOutput(): void;
  /** `output` has grown large: flush now if the socket takes it. */
  onOutputLarge(): void;
  /** The peer lets more output pile up than a connection may hold. */
  onOutputOverflow(): void;
  /** How much output the peer has not read, in bytes; what fits into one pooled block does not count. */
  onOutputUnread(bytes: number): void;
}

/** Output beyond this is offered to the socket at once, so that its storage stays one pooled block. */
const OUTPUT_LARGE_BYTES = 44 * 1024;

/** A reader may give credit for each frame twice: on its stream and on the connection. */
const CREDITS_PER_FRAME = 2;

export class Outbound {
  readonly output = new ByteWriter({ pooled: true });
  /** What the peer asks of us. */
  readonly remoteSettings: Settings = defaultSettings();
  readonly #encoder = new HpackEncoder();
  readonly #scheduler = new SendScheduler();
  readonly #limits: Http2Limits;
  readonly #listener: OutputListener;
  #windowBytes = WINDOW_BYTES_DEFAULT;
  #announced = false;
  /** The listener is being offered large output: a caller of ours is half-way through its own state. */
  #offering = false;
  #pumping = false;
  /** `drained` came while offering: whoever is half-way ends with `settle`. */
  #pumpOwed = false;
  #sentSincePing = false;
  /** WINDOW_UPDATEs that what we have sent may give rise to. */
  #creditsDue = 0;

  constructor(limits: Http2Limits, listener: OutputListener) {
    this.#limits = limits;
    this.#listener = listener;
  }

  writeHeaders(stream: Stream, fields: readonly HeaderField[], endStream: boolean): void {
    const out = this.output;
    const at = out.length;
    out.reserve(FRAME_HEADER_BYTES);
    out.length += FRAME_HEADER_BYTES;
    this.#encoder.encode(fields, out);
    const blockBytes = out.length - at - FRAME_HEADER_BYTES;
    const endFlag = endStream ? Flag.END_STREAM : 0;
    const frameBytesMax = this.remoteSettings.frameBytesMax;
    if (blockBytes <= frameBytesMax) {
      storeFrameHeader(out.bytes, at, blockBytes, FrameType.HEADERS, Flag.END_HEADERS | endFlag, stream.id);
    } else {
      const block = out.bytes.slice(at + FRAME_HEADER_BYTES, out.length);
      out.length = at;
      for (let from = 0; from < blockBytes; from += frameBytesMax) {
        const to = Math.min(blockBytes, from + frameBytesMax);
        out.reserve(FRAME_HEADER_BYTES);
        storeFrameHeader(
          out.bytes,
          out.length,
          to - from,
          from === 0 ? FrameType.HEADERS : FrameType.CONTINUATION,
          (from === 0 ? endFlag : 0) | (to === blockBytes ? Flag.END_HEADERS : 0),
          stream.id,
        );
        out.length += FRAME_HEADER_BYTES;
        out.write(block, from, to);
      }
    }
    this.#sentSincePing = true;
    this.#creditsDue += CREDITS_PER_FRAME;
    this.announce();
  }

  /**
   * Writes as much of `bytes[start, end)` as windows, frame size and socket allow; END_STREAM with the last
   * byte. Returns where it stopped. An empty DATA frame that ends the stream always goes out.
   * The stream may be closed when it returns: offering output can end the connection.
   */
  writeDataNow(stream: Stream, bytes: Uint8Array, start: number, end: number, endStream: boolean): number {
    if (start === end) {
      if (endStream) {
        writeData(this.output, stream.id, bytes, start, end, true);
        this.#sentSincePing = true;
        this.announce();
      }
      return end;
    }
    const out = this.output;
    const frameBytesMax = this.remoteSettings.frameBytesMax;
    let at = start;
    while (at < end && this.#hasRoom() && !stream.closed) {
      const size = Math.min(end - at, frameBytesMax, this.#windowBytes, stream.sendWindowBytes);
      if (size <= 0) break;
      writeData(out, stream.id, bytes, at, at + size, endStream && at + size === end);
      at += size;
      this.#windowBytes -= size;
      this.#creditsDue += CREDITS_PER_FRAME;
      stream.sendWindowBytes -= size;
    }
    if (at > start) {
      this.#sentSincePing = true;
      this.announce();
    }
    return at;
  }

  /** The peer's HEADER_TABLE_SIZE has changed. */
  tableBytesChanged(): void {
    this.#encoder.setPeerTableBytesMax(this.remoteSettings.headerTableBytes);
  }

  /** The peer gives credit on the connection. @throws ConnectionError when the window overflows. */
  credit(bytes: number): void {
    if (bytes === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of zero");
    this.#windowBytes += bytes;
    if (this.#windowBytes > WINDOW_BYTES_MAX) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window beyond 2^31-1");
    }
    this.pump();
  }

  /** Puts a stream with queued DATA in line if its window is open. */
  schedule(stream: Stream): void {
    if (stream.wantsToSend) this.#scheduler.add(stream);
  }

  /**
   * True when nobody waits to send, and a stream may write DATA without standing in line. Whoever waits and
   * could send does so first.
   */
  isMyTurn(): boolean {
    if (this.#scheduler.empty) return true;
    this.pump();
    return this.#scheduler.empty;
  }

  /** A stream has ended: it leaves the line. */
  unschedule(stream: Stream): void {
    this.#scheduler.remove(stream);
  }

  /**
   * Whether HEADERS or DATA have gone out since this was asked last. A gRPC peer that probes the bandwidth
   * sends a PING for what it received, thousands a second over a short way; a flood of PINGs needs nothing.
   */
  sentSincePing(): boolean {
    const sent = this.#sentSincePing;
    this.#sentSincePing = false;
    return sent;
  }

  /** Whether a WINDOW_UPDATE answers something that we have sent; each of those answers one only. */
  creditIsDue(): boolean {
    if (this.#creditsDue === 0) return false;
    this.#creditsDue--;
    return true;
  }

  /** The socket's owner has written (part of) `output`: streams waiting for room go on. */
  drained(): void {
    this.#announced = this.output.length > 0;
    this.#reportUnread();
    if (!this.#scheduler.empty) this.pump();
  }

  /** Something was appended to `output`. */
  announce(): void {
    if (this.output.length >= OUTPUT_LARGE_BYTES) {
      this.#offer();
      if (this.output.length > this.#limits.outputBytesMax) {
        this.#listener.onOutputOverflow();
        return;
      }
    }
    if (this.#announced || this.output.length === 0) return;
    this.#announced = true;
    this.#listener.onOutput();
  }

  /** The caller's state is whole: streams go on that got room while it was not. */
  settle(): void {
    if (this.#pumpOwed) this.pump();
  }

  /** Sends queued DATA, a frame for each stream in turn, until windows or socket are full. */
  pump(): void {
    if (this.#pumping) return;
    if (this.#offering) {
      this.#pumpOwed = true;
      return;
    }
    this.#pumping = true;
    try {
      // Room is made sure of before a stream is taken: one that got no room would lose its turn, for ever
      // if the numbers of streams and of frames that the socket takes at once go together badly.
      while (this.#windowBytes > 0 && this.#hasRoom()) {
        const stream = this.#scheduler.take();
        if (stream === null) break;
        if (!stream.wantsToSend) continue;
        stream.sendQueued();
        this.schedule(stream);
      }
    } finally {
      this.#pumping = false;
      this.#pumpOwed = false;
    }
  }

  /** Whether DATA may enter the output. */
  #hasRoom(): boolean {
    if (this.output.length < OUTPUT_LARGE_BYTES) return true;
    this.#offer();
    return this.output.length < this.#limits.outputHighWaterBytes;
  }

  #offer(): void {
    if (this.#offering) return;
    this.#offering = true;
    try {
      this.#listener.onOutputLarge();
      this.#reportUnread();
    } finally {
      this.#offering = false;
    }
  }

  #reportUnread(): void {
    this.#listener.onOutputUnread(this.output.length < POOLED_BLOCK_BYTES ? 0 : this.output.length);
  }
}
