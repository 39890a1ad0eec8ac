/**
 * Sends puts to etcd itself, pipelined on a connection of their own, each stamped with the time it is sent.
 *
 * A put is a copy of a frame made once with the stream id and the stamp written in, so that sending hundreds at
 * once costs next to nothing. Invariant: every put is answered with OK and its revision before a load counts as
 * done; any other answer is an error.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { PutRequestSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { Flag, frame, FrameType, literalField } from "../floors/frames.ts";
import { BareConnection, type FrameHandler, RST_STREAM, statusText } from "./bare-connection.ts";
import { FRAME_HEADER_BYTES } from "./frame-cutter.ts";
import { PREFIX_BYTES } from "./message-cutter.ts";
import { nowMicros, STAMP_BYTES, writeStamp } from "./put-stamp.ts";

const STREAM_ID_AT = 5;
const FIRST_STREAM_ID = 1;
/** What is written at once. */
const OUT_BYTES = 1 << 18;
/** A literal that enters the table of headers (RFC 7541 §6.2.1). */
const WITH_INDEXING = 0x40;
const INDEXED = 0x80;
/** The newest entry of the table of headers; older ones count upwards. */
const NEWEST_ENTRY = 62;
const METHOD_POST = 0x83;
const SCHEME_HTTP = 0x86;
/** ResponseHeader.revision, a varint. */
const HEADER_REVISION = 0x18;

/** The frames of a put, with the places to write in. */
interface Template {
  readonly bytes: Uint8Array;
  readonly dataAt: number;
  readonly dataBytes: number;
}

export class PutStream implements FrameHandler {
  readonly #templates: readonly Template[];
  readonly #out = Buffer.allocUnsafe(OUT_BYTES);
  readonly #onProgress: () => void;
  #connection: BareConnection | null = null;
  #nextStreamId = FIRST_STREAM_ID + 2;
  /** Which key each unanswered stream puts. */
  readonly #unanswered = new Map<number, number>();
  /** Puts, as indexes of keys, that wait for credit. */
  #waiting: number[] = [];
  #sendFrom = 0;
  #inFlightMax = 0;
  /** Answered puts of each key, and the sum of their revisions. */
  readonly counts: Float64Array;
  readonly revisionSums: Float64Array;
  #latestRevision = 0;
  #failed: string | undefined;

  private constructor(keys: readonly Uint8Array[], valueBytes: number, onProgress: () => void) {
    if (valueBytes < STAMP_BYTES) throw new Error(`a value of ${valueBytes} bytes has no room for the time`);
    this.#templates = keys.map((key) => templateOf(key, valueBytes));
    this.counts = new Float64Array(keys.length);
    this.revisionSums = new Float64Array(keys.length);
    this.#onProgress = onProgress;
  }

  /** Connects to etcd, `host:port`, to put values of `valueBytes` to `keys`. */
  static async open(
    address: string,
    keys: readonly Uint8Array[],
    valueBytes: number,
    onProgress: () => void,
  ): Promise<PutStream> {
    const stream = new PutStream(keys, valueBytes, onProgress);
    stream.#connection = await BareConnection.open(address, stream);
    stream.#fillTable(address);
    return stream;
  }

  /** Whether every put is answered. @throws Error when one failed. */
  get done(): boolean {
    if (this.#failed !== undefined) throw new Error(this.#failed);
    return this.#unanswered.size === 0 && this.#sendFrom === this.#waiting.length;
  }

  /** The highest revision of an answer. */
  get latestRevision(): number {
    return this.#latestRevision;
  }

  /** Forgets the puts so far. */
  reset(): void {
    this.counts.fill(0);
    this.revisionSums.fill(0);
  }

  /**
   * Sends a put to each of `keyIndexes`, with at most `inFlightMax` unanswered at a time and as far as etcd's flow
   * control lets it; what must wait follows by itself.
   */
  send(keyIndexes: readonly number[], inFlightMax: number): void {
    this.#inFlightMax = inFlightMax;
    this.#waiting = [...this.#waiting.slice(this.#sendFrom), ...keyIndexes];
    this.#sendFrom = 0;
    this.#sendWaiting();
  }

  close(): void {
    this.#connection?.close();
  }

  /** Sends a first put, whose header fields enter the table: those that follow refer to them. */
  #fillTable(authority: string): void {
    const { bytes, dataAt, dataBytes } = this.#templates[0]!;
    const head = frame(
      FrameType.headers,
      Flag.endHeaders,
      FIRST_STREAM_ID,
      headerBlockThatIndexes(authority),
    );
    const data = Buffer.from(bytes.subarray(dataAt));
    data.writeUInt32BE(FIRST_STREAM_ID, STREAM_ID_AT);
    this.#unanswered.set(FIRST_STREAM_ID, 0);
    this.#connection?.write(Buffer.concat([head, data]), dataBytes);
  }

  #sendWaiting(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const micros = nowMicros();
    const out = this.#out;
    for (;;) {
      let length = 0;
      let dataBytes = 0;
      while (this.#sendFrom < this.#waiting.length && this.#unanswered.size < this.#inFlightMax) {
        const keyIndex = this.#waiting[this.#sendFrom]!;
        const template = this.#templates[keyIndex]!;
        const { bytes, dataAt } = template;
        const room = out.length - length >= bytes.length;
        if (!room || dataBytes + template.dataBytes > connection.sendWindowBytes) break;
        this.#sendFrom++;
        dataBytes += template.dataBytes;
        this.#unanswered.set(this.#nextStreamId, keyIndex);
        out.set(bytes, length);
        out.writeUInt32BE(this.#nextStreamId, length + STREAM_ID_AT);
        out.writeUInt32BE(this.#nextStreamId, length + dataAt + STREAM_ID_AT);
        length += bytes.length;
        writeStamp(out, length, micros);
        this.#nextStreamId += 2;
      }
      if (length === 0) return;
      connection.write(out.subarray(0, length), dataBytes);
    }
  }

  onFrame(
    type: number,
    _flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const keyIndex = this.#unanswered.get(streamId);
    if (type === RST_STREAM || keyIndex === undefined) {
      this.#failed ??= "etcd reset a put, or answered one twice";
      return;
    }
    this.#unanswered.delete(streamId);
    const revision = putRevision(bytes, start + PREFIX_BYTES, end);
    this.counts[keyIndex]! += 1;
    this.revisionSums[keyIndex]! += revision;
    this.#latestRevision = Math.max(this.#latestRevision, revision);
  }

  onHeaders(_streamId: number, endStream: boolean, fields: readonly HeaderField[]): void {
    if (!endStream || fields.some(({ name, value }) => name === "grpc-status" && value === "0")) return;
    this.#failed ??= `a put ended with ${statusText(fields)}`;
  }

  onChunkEnd(): void {
    this.#sendWaiting();
    this.#onProgress();
  }

  onCredit(): void {
    this.#sendWaiting();
  }

  onLost(reason: string): void {
    this.#failed ??= reason;
    this.#onProgress();
  }
}

/** The revision in the header of the PutResponse `bytes[start, end)`. @throws Error when there is none. */
function putRevision(bytes: Uint8Array, start: number, end: number): number {
  // The header comes first, its length takes one byte, and all its fields are varints.
  let at = start + 2;
  while (at < end) {
    const tag = bytes[at++]!;
    let value = 0;
    let byte = 0x80;
    for (let scale = 1; byte >= 0x80; scale *= 0x80) {
      byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
    }
    if (tag === HEADER_REVISION) return value;
  }
  throw new Error("etcd answered a put without its revision");
}

function templateOf(key: Uint8Array, valueBytes: number): Template {
  const value = new Uint8Array(valueBytes).fill(0x76);
  const message = toBinary(PutRequestSchema, create(PutRequestSchema, { key, value }));
  const body = Buffer.alloc(PREFIX_BYTES + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, PREFIX_BYTES);
  // The fields that the first block put into the table, oldest first.
  const block = [METHOD_POST, SCHEME_HTTP, ...[3, 2, 1, 0].map((age) => INDEXED | (NEWEST_ENTRY + age))];
  const headers = frame(FrameType.headers, Flag.endHeaders, 0, Uint8Array.from(block));
  const data = frame(FrameType.data, Flag.endStream, 0, body);
  return {
    bytes: Buffer.concat([headers, data]),
    dataAt: headers.length,
    dataBytes: data.length - FRAME_HEADER_BYTES,
  };
}

function headerBlockThatIndexes(authority: string): Uint8Array {
  const fields = [
    literalField(":path", "/etcdserverpb.KV/Put"),
    literalField(":authority", authority),
    literalField("content-type", "application/grpc"),
    literalField("te", "trailers"),
  ];
  for (const field of fields) field[0] = WITH_INDEXING;
  return Buffer.concat([Uint8Array.of(METHOD_POST, SCHEME_HTTP), ...fields]);
}
