/**
 * One client: a connection with a fixed number of unary calls in flight, each followed by the next.
 *
 * Sends all that a chunk of answers made room for with one write, and makes no object for a call. Invariant: a call
 * counts as answered when it ended with status 0 after one message, and a read's message holds the key; anything
 * else is the connection's failure, and then it sends no more.
 */
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { BareConnection, type FrameHandler, RST_STREAM, statusText } from "./bare-connection.ts";
import type { LatencyHistogram } from "./latency-histogram.ts";
import { MessageCutter, PREFIX_BYTES } from "./message-cutter.ts";
import { nowMicros } from "./now-micros.ts";
import type { CallTemplate } from "./call-template.ts";
import { holdsKey } from "./range-answer.ts";

const FIRST_STREAM_ID = 1;
/** What is written at once. */
const OUT_BYTES = 1 << 16;
/** Places for calls, many more than are in flight: a stream's number tells its place. A power of two. */
const PLACES = 1024;

export interface Call {
  readonly template: CallTemplate;
  /** The key that the answer must hold; null where any message will do. */
  readonly readKey: Uint8Array | null;
}

/** Where connections get their calls from. */
export interface CallSource {
  /** The next call; null when there is none left. */
  next(): Call | null;
}

/** `calls`, one after the other. */
export function listedCalls(calls: readonly Call[]): CallSource {
  let at = 0;
  return { next: () => calls[at++] ?? null };
}

/** What all connections of a load count together. */
export interface CallTally {
  calls: number;
  reads: number;
  /** From the sending of a call to its end. */
  latencies: LatencyHistogram;
}

/** A call in flight. */
interface Place {
  /** 0: free. */
  streamId: number;
  call: Call | null;
  sentMicros: number;
  messages: number;
  /** Only for a message that comes in several frames. */
  cutter: MessageCutter | null;
}

export class UnaryConnection implements FrameHandler {
  readonly #tally: CallTally;
  readonly #inFlightMax: number;
  readonly #onIdle: () => void;
  readonly #places: readonly Place[] = Array.from({ length: PLACES }, () => ({
    streamId: 0,
    call: null,
    sentMicros: 0,
    messages: 0,
    cutter: null,
  }));
  readonly #out = new Uint8Array(OUT_BYTES);
  #connection: BareConnection | null = null;
  #source: CallSource | null = null;
  /** A call that waits for credit. */
  #held: Call | null = null;
  #nextStreamId = FIRST_STREAM_ID;
  #inFlight = 0;
  #chunkMicros = -1;
  /** Trailers that said 0: the decoder gives the same object for the same bytes. */
  #okTrailers: readonly HeaderField[] | null = null;
  #failed: string | undefined;

  private constructor(tally: CallTally, inFlightMax: number, onIdle: () => void) {
    this.#tally = tally;
    this.#inFlightMax = inFlightMax;
    this.#onIdle = onIdle;
  }

  /**
   * Connects to `host:port`.
   *
   * @param inFlightMax calls that are sent and not answered at a time.
   * @param onIdle told whenever nothing is in flight, and when the connection has failed.
   */
  static async open(
    address: string,
    inFlightMax: number,
    tally: CallTally,
    onIdle: () => void,
  ): Promise<UnaryConnection> {
    if (inFlightMax > PLACES / 2)
      throw new Error(`${inFlightMax} calls in flight are more than can be told apart`);
    const connection = new UnaryConnection(tally, inFlightMax, onIdle);
    connection.#connection = await BareConnection.open(address, connection);
    return connection;
  }

  /** Whether every call is answered and none left. @throws Error when one failed. */
  get idle(): boolean {
    if (this.#failed !== undefined) throw new Error(this.#failed);
    return this.#inFlight === 0 && this.#source === null;
  }

  /** Sends the calls of `source` until there are none left. */
  send(source: CallSource): void {
    this.#source = source;
    this.#pump();
  }

  close(): void {
    this.#connection?.close();
  }

  #pump(): void {
    const connection = this.#connection;
    if (connection === null || this.#source === null || this.#failed !== undefined) return;
    const out = this.#out;
    const micros = nowMicros();
    let length = 0;
    let dataBytes = 0;
    while (this.#inFlight < this.#inFlightMax) {
      const call = this.#held ?? this.#source.next();
      this.#held = null;
      if (call === null) {
        this.#source = null;
        break;
      }
      const { template } = call;
      if (length + template.bytes.length > OUT_BYTES) {
        connection.write(out.subarray(0, length), dataBytes);
        length = dataBytes = 0;
      }
      if (dataBytes + template.dataBytes > connection.sendWindowBytes) {
        this.#held = call;
        break;
      }
      const place = this.#freePlace();
      place.call = call;
      place.sentMicros = micros;
      place.messages = 0;
      length = template.copyTo(out, length, place.streamId);
      dataBytes += template.dataBytes;
      this.#inFlight++;
    }
    if (length > 0) connection.write(out.subarray(0, length), dataBytes);
  }

  /** Takes the next stream whose place is free; streams may be left out (RFC 9113 §5.1.1). */
  #freePlace(): Place {
    for (;;) {
      const streamId = this.#nextStreamId;
      this.#nextStreamId += 2;
      const place = this.#placeOf(streamId);
      if (place.streamId !== 0) continue;
      place.streamId = streamId;
      return place;
    }
  }

  #placeOf(streamId: number): Place {
    return this.#places[(streamId >> 1) & (PLACES - 1)]!;
  }

  onFrame(
    type: number,
    _flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const place = this.#placeOf(streamId);
    if (place.streamId !== streamId) return this.#fail("a frame came for a call that is over");
    if (type === RST_STREAM) return this.#fail(`a call was reset with code ${bytes[start + 3]}`);
    const length = end - start - PREFIX_BYTES;
    const whole =
      place.cutter === null &&
      length >= 0 &&
      ((bytes[start + 3]! << 8) | bytes[start + 4]!) === length &&
      bytes[start + 1] === 0 &&
      bytes[start + 2] === 0;
    if (whole) this.#takeMessage(place, bytes, start + PREFIX_BYTES, end);
    else if (end > start) {
      place.cutter ??= new MessageCutter((message, from, to) => this.#takeMessage(place, message, from, to));
      place.cutter.push(bytes, start, end);
    }
  }

  #takeMessage(place: Place, bytes: Uint8Array, start: number, end: number): void {
    place.messages++;
    const key = place.call?.readKey ?? null;
    if (start === end) this.#fail("an answer is empty");
    else if (key !== null && !holdsKey(bytes, start, end, key)) {
      this.#fail(`an answer lacks the key ${new TextDecoder().decode(key)}`);
    }
  }

  onHeaders(streamId: number, endStream: boolean, fields: readonly HeaderField[]): void {
    if (!endStream) return;
    const place = this.#placeOf(streamId);
    if (place.streamId !== streamId) return this.#fail("a call ended twice");
    if (fields !== this.#okTrailers) {
      if (!fields.some(({ name, value }) => name === "grpc-status" && value === "0")) {
        return this.#fail(`a call ended with ${statusText(fields)}`);
      }
      this.#okTrailers = fields;
    }
    if (place.messages !== 1) return this.#fail(`a call ended with ${place.messages} messages`);
    if (this.#chunkMicros < 0) this.#chunkMicros = nowMicros();
    const tally = this.#tally;
    tally.latencies.add(this.#chunkMicros - place.sentMicros);
    tally.calls++;
    if (place.call?.readKey !== null) tally.reads++;
    place.streamId = 0;
    place.call = null;
    place.cutter = null;
    this.#inFlight--;
  }

  onChunkEnd(): void {
    this.#chunkMicros = -1;
    this.#pump();
    if (this.#inFlight === 0) this.#onIdle();
  }

  onCredit(): void {
    this.#pump();
  }

  onLost(reason: string): void {
    this.#fail(reason);
  }

  #fail(reason: string): void {
    this.#failed ??= reason;
    this.#onIdle();
  }
}
