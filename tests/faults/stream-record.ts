/**
 * What becomes of each call on the relayed connections to a member: the wire's word, not the member's.
 *
 * A tap of a `TcpRelay` that reads the frames of both directions (RFC 9113 §4.1, §6). A stream is open from its
 * HEADERS until one side resets it or both have ended it (§5.1). One whose connection is lost stays open for
 * ever: a proxy must not get rid of calls by dropping the connection.
 */
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HTTP2_LIMITS } from "../../src/http2/limits.ts";
import type { RelayTap } from "../harness/tcp-relay.ts";
import {
  concat,
  DATA,
  END_HEADERS,
  END_STREAM,
  HAS_PRIORITY,
  HEADERS,
  PADDED,
  PREFACE,
  RST_STREAM,
} from "../http2/frames.ts";

const FRAME_HEADER_BYTES = 9;

type OnFrame = (type: number, flags: number, streamId: number, payload: Uint8Array) => void;

/** An open stream: its method, and which side has ended its half. */
interface OpenStream {
  readonly method: string;
  clientEnded: boolean;
  memberEnded: boolean;
}

export class StreamRecord {
  /** How many calls of each method were ever begun, by its name: `Lock`. */
  readonly begun: Record<string, number> = {};
  readonly #connections: RecordedConnection[] = [];

  /** Records one more connection, from its first byte on. */
  readonly tap = (): RelayTap => {
    const connection = new RecordedConnection(this);
    this.#connections.push(connection);
    return connection;
  };

  /** How many calls of each method are under way; a method without any is not named. */
  open(): Record<string, number> {
    const open: Record<string, number> = {};
    for (const { streams } of this.#connections)
      for (const { method } of streams.values()) open[method] = (open[method] ?? 0) + 1;
    return open;
  }
}

class RecordedConnection implements RelayTap {
  readonly streams = new Map<number, OpenStream>();
  readonly #record: StreamRecord;
  readonly #requestHeads = new HpackDecoder();
  readonly #fromClient = new FrameCutter(PREFACE.length, (...frame) => this.#onClientFrame(...frame));
  readonly #fromMember = new FrameCutter(0, (type, flags, streamId) =>
    this.#onMemberFrame(type, flags, streamId),
  );

  constructor(record: StreamRecord) {
    this.#record = record;
  }

  onClientBytes(bytes: Uint8Array): void {
    this.#fromClient.take(bytes);
  }

  onTargetBytes(bytes: Uint8Array): void {
    this.#fromMember.take(bytes);
  }

  #onClientFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (type === HEADERS) this.#begin(flags, streamId, payload);
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    if (endsStream(type, flags)) stream.clientEnded = true;
    this.#endIfOver(type, streamId, stream);
  }

  #onMemberFrame(type: number, flags: number, streamId: number): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    if (endsStream(type, flags)) stream.memberEnded = true;
    this.#endIfOver(type, streamId, stream);
  }

  #begin(flags: number, streamId: number, block: Uint8Array): void {
    if ((flags & END_HEADERS) === 0 || (flags & (PADDED | HAS_PRIORITY)) !== 0)
      throw new Error("a record reads plain HEADERS only");
    const fields = this.#requestHeads.decode(block, 0, block.length, HTTP2_LIMITS.headerListBytesMax);
    const path = fields.find(({ name }) => name === ":path")?.value ?? "";
    const method = path.slice(path.lastIndexOf("/") + 1);
    this.#record.begun[method] = (this.#record.begun[method] ?? 0) + 1;
    this.streams.set(streamId, { method, clientEnded: false, memberEnded: false });
  }

  #endIfOver(type: number, streamId: number, stream: OpenStream): void {
    if (type === RST_STREAM || (stream.clientEnded && stream.memberEnded)) this.streams.delete(streamId);
  }
}

function endsStream(type: number, flags: number): boolean {
  return (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0;
}

/** Cuts one direction's bytes into frames, however they come. */
class FrameCutter {
  #unread: Uint8Array = new Uint8Array(0);
  /** Bytes before the first frame. */
  #skipBytes: number;
  readonly #onFrame: OnFrame;

  constructor(skipBytes: number, onFrame: OnFrame) {
    this.#skipBytes = skipBytes;
    this.#onFrame = onFrame;
  }

  take(chunk: Uint8Array): void {
    const bytes = concat([this.#unread, chunk]);
    let at = Math.min(this.#skipBytes, bytes.length);
    this.#skipBytes -= at;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const head = new DataView(bytes.buffer, at, FRAME_HEADER_BYTES);
      const end = at + FRAME_HEADER_BYTES + (head.getUint16(0) * 256 + head.getUint8(2));
      if (end > bytes.length) break;
      const streamId = head.getUint32(5) & 0x7f_ff_ff_ff;
      this.#onFrame(
        head.getUint8(3),
        head.getUint8(4),
        streamId,
        bytes.subarray(at + FRAME_HEADER_BYTES, end),
      );
      at = end;
    }
    this.#unread = bytes.slice(at);
  }
}
