/**
 * One client: a connection with a Watch stream, and on it a number of watches, as etcd's Go client has them.
 *
 * Watches get ids from 0 on in the order they are asked for: both etcd and its proxy count so. Invariant: when
 * the server ends the stream, `ended` says with which status, and what came until then stays counted.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchRequestSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { callHeaderBlock, Flag, frame, FrameType } from "../floors/frames.ts";
import {
  BareConnection,
  CREDIT_STEP_BYTES,
  FIRST_WINDOW_BYTES,
  type FrameHandler,
  RST_STREAM,
  statusText,
} from "../load/bare-connection.ts";
import { prefixed } from "../load/call-template.ts";
import { MessageCutter } from "../load/message-cutter.ts";
import { nowMicros } from "../load/now-micros.ts";
import type { Arrivals } from "./arrivals.ts";
import { WatchTally } from "./watch-tally.ts";

const STREAM_ID = 1;

/** What one watch asks for. */
export interface WatchPlan {
  readonly key: Uint8Array;
  /** Absent for a single key. */
  readonly rangeEnd?: Uint8Array;
  /** 0: now. */
  readonly startRevision: number;
}

export class WatchStream implements FrameHandler {
  readonly tally: WatchTally;
  readonly #plans: readonly WatchPlan[];
  readonly #onProgress: () => void;
  readonly #cutter = new MessageCutter((bytes, start, end) =>
    this.tally.read(bytes, start, end, this.#chunkMicros),
  );
  #connection: BareConnection | null = null;
  #requested = 0;
  /** Requests are to fit into the stream's first window: what the server grants later is not counted. */
  #sentBytes = 0;
  #uncreditedBytes = 0;
  #chunkMicros = -1;
  #ended: string | undefined;

  private constructor(plans: readonly WatchPlan[], arrivals: Arrivals, onProgress: () => void) {
    this.#plans = plans;
    this.tally = new WatchTally(plans.length, arrivals);
    this.#onProgress = onProgress;
  }

  /** Opens the connection and the stream, yet without a watch. `onProgress` is told after whatever came. */
  static async open(
    address: string,
    plans: readonly WatchPlan[],
    arrivals: Arrivals,
    onProgress: () => void,
  ): Promise<WatchStream> {
    const stream = new WatchStream(plans, arrivals, onProgress);
    stream.#connection = await BareConnection.open(address, stream);
    const head = callHeaderBlock("/etcdserverpb.Watch/Watch", address);
    stream.#connection.write(frame(FrameType.headers, Flag.endHeaders, STREAM_ID, head));
    return stream;
  }

  /** Why the stream or its connection is over; undefined while it is not. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** Asks for further watches until `atOnce` are asked for and not yet created. */
  request(atOnce: number): void {
    const until = Math.min(this.#plans.length, this.tally.created + atOnce);
    if (this.#requested >= until || this.#ended !== undefined) return;
    const frames: Uint8Array[] = [];
    const sentBytes = this.#sentBytes;
    for (; this.#requested < until; this.#requested++) {
      const message = createRequest(this.#plans[this.#requested]!);
      const payload = prefixed(message);
      this.#sentBytes += payload.length;
      frames.push(frame(FrameType.data, 0, STREAM_ID, payload));
    }
    if (this.#sentBytes > FIRST_WINDOW_BYTES) {
      throw new Error(`${this.#plans.length} watches are too many for a stream: ask for more connections`);
    }
    this.#connection?.write(Buffer.concat(frames), this.#sentBytes - sentBytes);
  }

  close(): void {
    this.#connection?.close();
  }

  onFrame(
    type: number,
    _flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (streamId !== STREAM_ID) return;
    if (type === RST_STREAM) {
      this.#end(`the server reset the stream with code ${bytes[start + 3]}`);
      return;
    }
    if (this.#chunkMicros < 0) this.#chunkMicros = nowMicros();
    this.#uncreditedBytes += end - start;
    this.#cutter.push(bytes, start, end);
  }

  onHeaders(_streamId: number, endStream: boolean, fields: readonly HeaderField[]): void {
    if (endStream) this.#end(statusText(fields));
  }

  onChunkEnd(): void {
    this.#chunkMicros = -1;
    if (this.#uncreditedBytes >= CREDIT_STEP_BYTES && this.#ended === undefined) {
      const increment = Buffer.alloc(4);
      increment.writeUInt32BE(this.#uncreditedBytes);
      this.#connection?.write(frame(FrameType.windowUpdate, 0, STREAM_ID, increment));
      this.#uncreditedBytes = 0;
    }
    this.#onProgress();
  }

  onCredit(): void {}

  onLost(reason: string): void {
    this.#end(reason);
    this.#onProgress();
  }

  #end(reason: string): void {
    this.#ended ??= reason;
  }
}

function createRequest({ key, rangeEnd, startRevision }: WatchPlan): Uint8Array {
  const value = {
    key,
    startRevision: BigInt(startRevision),
    ...(rangeEnd === undefined ? {} : { rangeEnd }),
  };
  return toBinary(
    WatchRequestSchema,
    create(WatchRequestSchema, { requestUnion: { case: "createRequest", value } }),
  );
}
