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
import { BareConnection, type FrameHandler, RST_STREAM, statusText } from "../load/bare-connection.ts";
import { CallTemplate } from "../load/call-template.ts";
import { indexedHeaders } from "../load/indexed-headers.ts";
import { PREFIX_BYTES } from "../load/message-cutter.ts";
import { nowMicros } from "../load/now-micros.ts";
import { STAMP_BYTES, writeStamp } from "./put-stamp.ts";

const FIRST_STREAM_ID = 1;
/** What is written at once. */
const OUT_BYTES = 1 << 18;
/** ResponseHeader.revision, a varint. */
const HEADER_REVISION = 0x18;

export class PutStream implements FrameHandler {
  readonly #templates: readonly CallTemplate[];
  readonly #opening: CallTemplate;
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

  private constructor(
    address: string,
    keys: readonly Uint8Array[],
    valueBytes: number,
    onProgress: () => void,
  ) {
    if (valueBytes < STAMP_BYTES) throw new Error(`a value of ${valueBytes} bytes has no room for the time`);
    const { openings, repeats } = indexedHeaders(["/etcdserverpb.KV/Put"], address);
    this.#opening = new CallTemplate(openings[0]!, putMessage(keys[0]!, valueBytes));
    this.#templates = keys.map((key) => new CallTemplate(repeats[0]!, putMessage(key, valueBytes)));
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
    const stream = new PutStream(address, keys, valueBytes, onProgress);
    stream.#connection = await BareConnection.open(address, stream);
    stream.#fillTable();
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
  #fillTable(): void {
    const { bytes, dataBytes } = this.#opening;
    const out = new Uint8Array(bytes.length);
    this.#opening.copyTo(out, 0, FIRST_STREAM_ID);
    this.#unanswered.set(FIRST_STREAM_ID, 0);
    this.#connection?.write(out, dataBytes);
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
        const room = out.length - length >= template.bytes.length;
        if (!room || dataBytes + template.dataBytes > connection.sendWindowBytes) break;
        this.#sendFrom++;
        dataBytes += template.dataBytes;
        this.#unanswered.set(this.#nextStreamId, keyIndex);
        length = template.copyTo(out, length, this.#nextStreamId);
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

function putMessage(key: Uint8Array, valueBytes: number): Uint8Array {
  const value = new Uint8Array(valueBytes).fill(0x76);
  return toBinary(PutRequestSchema, create(PutRequestSchema, { key, value }));
}
