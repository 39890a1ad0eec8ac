/**
 * A client and a server connection joined back to back by two pipes, with every step of the way under a
 * test's control: what is flushed, delivered, sent and consumed, and how much of it.
 *
 * An observer reads the frames on both pipes and keeps the windows of RFC 9113 §6.9 by its own count: credit
 * counts when it is delivered, DATA when it leaves its sender.
 */
import { BufferBudget } from "../../src/http2/buffer-budget.ts";
import { ClientConnection } from "../../src/http2/client-connection.ts";
import type { Connection } from "../../src/http2/connection.ts";
import type { ConnectionOptions } from "../../src/http2/connection-handler.ts";
import { HTTP2_LIMITS } from "../../src/http2/limits.ts";
import { ServerConnection } from "../../src/http2/server-connection.ts";
import { defaultSettings } from "../../src/http2/settings.ts";
import type { Stream, StreamHandler } from "../../src/http2/stream.ts";
import {
  ACK,
  concat,
  DATA,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  PREFACE,
  parseFrames,
  readUint,
  SETTINGS,
  WINDOW_UPDATE,
} from "./frames.ts";
import { fields, REQUEST, RESPONSE } from "./wire.ts";

/** How much one side of a call sends, and how it ends. */
export interface Content {
  readonly bytes: number;
  readonly withTrailers: boolean;
}

/** One side's end of a call: what it still has to send, what it has received and not consumed. */
class CallEnd {
  readonly stream: Stream;
  readonly content: Content;
  readonly #received: Uint8Array[] = [];
  sentBytes = 0;
  /** Bytes that the stream has taken and not reported as sent. */
  unsentBytes = 0;
  unconsumedBytes = 0;
  localDone = false;
  remoteDone = false;

  constructor(stream: Stream, content: Content) {
    this.stream = stream;
    this.content = content;
  }

  /** Sends up to `bytesMax` more bytes; the end of the content ends the stream. */
  send(bytesMax: number): void {
    if (this.localDone) return;
    const size = Math.min(bytesMax, this.content.bytes - this.sentBytes);
    const bytes = pattern(this.stream.id, this.sentBytes, size);
    this.sentBytes += size;
    const last = this.sentBytes === this.content.bytes;
    const left = this.stream.sendData(bytes, 0, size, last && !this.content.withTrailers);
    this.unsentBytes += size - left;
    if (!last) return;
    this.localDone = true;
    if (this.content.withTrailers) this.stream.sendTrailers(fields([["grpc-status", "0"]]));
  }

  received(bytes: Uint8Array, endStream: boolean): void {
    this.#received.push(bytes);
    this.unconsumedBytes += bytes.length;
    if (endStream) this.remoteDone = true;
  }

  consume(bytesMax: number): void {
    const bytes = Math.min(bytesMax, this.unconsumedBytes);
    this.unconsumedBytes -= bytes;
    this.stream.consume(bytes);
  }

  /** @throws when what has come is not what the other end sent. */
  check(sent: Content): void {
    const received = concat(this.#received);
    if (!Buffer.from(received).equals(pattern(this.stream.id, 0, sent.bytes))) {
      throw new Error(`stream ${this.stream.id}: ${received.length} bytes came of ${sent.bytes}, or others`);
    }
    if (this.unsentBytes !== 0) throw new Error(`stream ${this.stream.id}: onSent does not add up`);
  }
}

/** Content by stream and place, so that lost, doubled or swapped bytes show. */
function pattern(streamId: number, from: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (from + i) * 31 + ((from + i) >> 8) + streamId * 7;
  return bytes;
}

/** Windows of one direction as the observer counts them. */
class ObservedWindows {
  #connectionBytes = 65_535;
  #initialBytes = 65_535;
  readonly #streams = new Map<number, number>();

  credit(streamId: number, bytes: number): void {
    if (streamId === 0) this.#connectionBytes += bytes;
    else this.#streams.set(streamId, this.#of(streamId) + bytes);
  }

  initialChanged(bytes: number): void {
    for (const [id, window] of this.#streams) this.#streams.set(id, window + bytes - this.#initialBytes);
    this.#initialBytes = bytes;
  }

  open(streamId: number): void {
    if (!this.#streams.has(streamId)) this.#streams.set(streamId, this.#initialBytes);
  }

  /** @throws when DATA goes beyond the credit that has been delivered. */
  spend(streamId: number, bytes: number): void {
    const left = this.#of(streamId) - bytes;
    this.#connectionBytes -= bytes;
    this.#streams.set(streamId, left);
    if (bytes > 0 && (left < 0 || this.#connectionBytes < 0)) {
      throw new Error(`${bytes} bytes of DATA on stream ${streamId} beyond the window`);
    }
  }

  #of(streamId: number): number {
    return this.#streams.get(streamId) ?? this.#initialBytes;
  }
}

/** The way of one direction: bytes that have left one connection and not reached the other. */
class Pipe {
  readonly #from: Connection;
  readonly #to: Connection;
  /** Windows of this direction, and of the other, whose credit travels here. */
  readonly #windows: ObservedWindows;
  readonly #otherWindows: ObservedWindows;
  #inFlight = new Uint8Array(0);
  #unparsedSent = new Uint8Array(0);
  #unparsedDelivered = new Uint8Array(0);

  constructor(
    from: Connection,
    to: Connection,
    windows: ObservedWindows,
    otherWindows: ObservedWindows,
    prefaceBytes: number,
  ) {
    this.#from = from;
    this.#to = to;
    this.#windows = windows;
    this.#otherWindows = otherWindows;
    this.#unskippedSent = prefaceBytes;
    this.#unskippedDelivered = prefaceBytes;
  }

  #unskippedSent: number;
  #unskippedDelivered: number;

  /** The socket takes up to `bytesMax` bytes of the sender's output. Returns how many. */
  flush(bytesMax: number): number {
    const { outbound } = this.#from;
    const { output } = outbound;
    const taken = output.toBytes().slice(0, bytesMax);
    if (taken.length === 0) return 0;
    output.discard(taken.length);
    if (output.length === 0) output.release();
    outbound.drained();
    this.#inFlight = joined(this.#inFlight, taken);
    const skip = Math.min(this.#unskippedSent, taken.length);
    this.#unskippedSent -= skip;
    this.#unparsedSent = this.#observe(joined(this.#unparsedSent, taken.subarray(skip)), true);
    return taken.length;
  }

  /** The receiver gets up to `bytesMax` bytes. Returns how many. */
  deliver(bytesMax: number): number {
    const chunk = this.#inFlight.slice(0, bytesMax);
    if (chunk.length === 0) return 0;
    this.#inFlight = this.#inFlight.slice(bytesMax);
    const skip = Math.min(this.#unskippedDelivered, chunk.length);
    this.#unskippedDelivered -= skip;
    this.#unparsedDelivered = this.#observe(joined(this.#unparsedDelivered, chunk.subarray(skip)), false);
    this.#to.receive(chunk, 0);
    return chunk.length;
  }

  /** Counts the whole frames in `bytes`; returns the rest. */
  #observe(bytes: Uint8Array<ArrayBuffer>, leaving: boolean): Uint8Array<ArrayBuffer> {
    let whole = 0;
    for (;;) {
      if (bytes.length - whole < 9) break;
      const size = bytes[whole]! * 65_536 + bytes[whole + 1]! * 256 + bytes[whole + 2]!;
      if (bytes.length - whole < 9 + size) break;
      whole += 9 + size;
    }
    for (const { type, flags, streamId, payload } of parseFrames(bytes.subarray(0, whole))) {
      if (leaving) {
        if (type === DATA) this.#windows.spend(streamId, payload.length);
        if (type === HEADERS) this.#windows.open(streamId);
      } else if (type === WINDOW_UPDATE) {
        this.#otherWindows.credit(streamId, readUint(payload, 0));
      } else if (type === SETTINGS && (flags & ACK) === 0) {
        for (let at = 0; at < payload.length; at += 6) {
          if (payload[at + 1] === INITIAL_WINDOW_SIZE)
            this.#otherWindows.initialChanged(readUint(payload, at + 2));
        }
      }
    }
    return bytes.slice(whole);
  }
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([head, tail]));
}

export interface PairSettings {
  readonly clientWindowBytes: number;
  readonly serverWindowBytes: number;
  readonly frameBytesMax: number;
  /** For each call: what the client sends and what the server answers. */
  readonly calls: readonly { readonly request: Content; readonly response: Content }[];
}

export class JoinedPair {
  readonly budget = new BufferBudget(Number.POSITIVE_INFINITY);
  readonly client: ClientConnection;
  readonly server: ServerConnection;
  readonly up: Pipe;
  readonly down: Pipe;
  readonly #calls: PairSettings["calls"];
  readonly clientEnds: CallEnd[] = [];
  readonly serverEnds: CallEnd[] = [];

  constructor(settings: PairSettings) {
    this.#calls = settings.calls;
    const options = (initialWindowBytes: number): ConnectionOptions => ({
      limits: HTTP2_LIMITS,
      settings: { ...defaultSettings(), initialWindowBytes, frameBytesMax: settings.frameBytesMax },
      budget: this.budget,
    });
    const silent = { onOutput() {}, onOutputLarge() {}, onEnd() {} };
    this.client = new ClientConnection(options(settings.clientWindowBytes), {
      ...silent,
      onReady() {},
      onGoaway() {},
      onStreamEnded() {},
    });
    this.server = new ServerConnection(options(settings.serverWindowBytes), {
      ...silent,
      onRequest: (stream, _head, endStream) => this.#answer(stream, endStream),
    });
    const upWindows = new ObservedWindows();
    const downWindows = new ObservedWindows();
    this.up = new Pipe(this.client, this.server, upWindows, downWindows, PREFACE.length);
    this.down = new Pipe(this.server, this.client, downWindows, upWindows, 0);
  }

  /** Opens the next call if the client may. */
  open(): void {
    const call = this.#calls[this.clientEnds.length];
    if (call === undefined || !this.client.canOpen) return;
    const handler = endHandler(() => end);
    const stream = this.client.open(fields(REQUEST), false, handler);
    const end: CallEnd = new CallEnd(stream, call.request);
    this.clientEnds.push(end);
  }

  get done(): boolean {
    return (
      this.serverEnds.length === this.#calls.length &&
      [...this.clientEnds, ...this.serverEnds].every((end) => end.localDone && end.remoteDone) &&
      this.client.streams.size + this.server.streams.size === 0
    );
  }

  /** Lets everything go on until nothing moves any more. */
  finish(): void {
    for (let moved = 1; moved > 0;) {
      moved = 0;
      for (const end of [...this.clientEnds, ...this.serverEnds]) {
        end.send(Number.POSITIVE_INFINITY);
        end.consume(Number.POSITIVE_INFINITY);
      }
      const opened = this.clientEnds.length;
      this.open();
      moved += this.clientEnds.length - opened;
      for (const pipe of [this.up, this.down]) {
        moved += pipe.flush(Number.POSITIVE_INFINITY);
        moved += pipe.deliver(Number.POSITIVE_INFINITY);
      }
    }
  }

  /** @throws when a call's content did not come through as it was sent. */
  check(): void {
    for (const [i, { request, response }] of this.#calls.entries()) {
      this.serverEnds[i]!.check(request);
      this.clientEnds[i]!.check(response);
    }
  }

  #answer(stream: Stream, endStream: boolean): void {
    const end = new CallEnd(stream, this.#calls[(stream.id - 1) / 2]!.response);
    end.remoteDone = endStream;
    this.serverEnds.push(end);
    stream.handler = endHandler(() => end);
    stream.sendHeaders(fields(RESPONSE), false);
  }
}

function endHandler(end: () => CallEnd): StreamHandler {
  return {
    onResponse(_head, endStream) {
      if (endStream) end().remoteDone = true;
    },
    onData: (bytes, start, to, endStream) => end().received(bytes.slice(start, to), endStream),
    onTrailers() {
      end().remoteDone = true;
    },
    onSent(bytes) {
      end().unsentBytes -= bytes;
    },
    onReset(reset) {
      throw new Error(`stream ${end().stream.id}: ${reset.message}`);
    },
  };
}
