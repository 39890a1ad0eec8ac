/**
 * One stream of a connection (RFC 9113 §5): its state, its two flow-control windows, what waits to be sent.
 *
 * Stands between the connection, which calls the `receive…` side, and the stream's handler. DATA that the
 * windows or the socket do not take yet is queued; whoever produces it learns by `onSent` when it has left,
 * and bounds itself by that. Received DATA is handed on at once; the peer gets new stream credit only when
 * the handler says by `consume` that it is done with the bytes.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import type { Connection } from "./connection.ts";
import { ErrorCode } from "./error-code.ts";
import type { ResponseHead } from "./header-rules.ts";
import { WINDOW_BYTES_MAX } from "./settings.ts";

/** States of RFC 9113 §5.1 that a stream we know of can have. */
export type StreamState = "open" | "half-closed (local)" | "half-closed (remote)" | "closed";

/** Why a stream ended before both sides had finished. */
export interface StreamReset {
  /** Error code of RFC 9113 §7. */
  readonly code: number;
  /** `peer`: it sent RST_STREAM; `self`: we found the peer at fault; `connection`: the connection is gone. */
  readonly cause: "peer" | "self" | "connection";
  /** The peer provably did not act on the stream: REFUSED_STREAM, or above GOAWAY's last stream id. */
  readonly neverProcessed: boolean;
  /** What happened, for people. */
  readonly message: string;
}

/** What the owner of a stream is told. After `onReset` nothing more comes. */
export interface StreamHandler {
  /** Client side only: the response's head. Informational (1xx) responses are not passed on. */
  onResponse(head: ResponseHead, endStream: boolean): void;
  /** DATA payload `bytes[start, end)`, never changed afterwards; account for it with `consume`. */
  onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void;
  /** The trailer section; the peer's side has ended. */
  onTrailers(fields: readonly HeaderField[]): void;
  /** `bytes` of queued DATA have left the queue. */
  onSent(bytes: number): void;
  onReset(reset: StreamReset): void;
}

interface QueuedData {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** `bytes` is a copy of ours, which may be appended to. */
  readonly owned: boolean;
}

/**
 * Up to this size a queued piece is copied rather than keeping a view of the chunk it came in, and is joined
 * with the piece before it: a peer that sends single bytes must not make us hold an object for each.
 */
const COPY_BYTES_MAX = 4096;

/** No `sendData` is under way. */
const NO_CALL = -1;

export class Stream {
  readonly id: number;
  readonly connection: Connection;
  handler: StreamHandler;
  state: StreamState = "open";
  /** How much DATA the peer lets us send on this stream; negative after its SETTINGS shrank the window. */
  sendWindowBytes: number;
  /** How much DATA we still let the peer send on this stream. */
  receiveWindowBytes: number;
  /** Received and not yet consumed. */
  unconsumedBytes = 0;
  /** Queued and not yet sent. */
  queuedBytes = 0;
  /** Once our side has ended, the peer need not send the rest of its own (RFC 9113 §8.1). */
  resetAfterEnd = false;
  /** What the stream costs besides queued and unconsumed DATA. */
  retainedBytes = 0;
  /** Set once the peer's first header section has come; a second one is its trailers. */
  headReceived = false;
  /** DATA octets the peer declared by content-length and has not sent yet; -1: it declared none. */
  contentBytesLeft = -1;

  /** Links of the connection's list of streams with something to send. */
  nextReady: Stream | null = null;
  previousReady: Stream | null = null;
  inReadyList = false;

  #queue: QueuedData[] | null = null;
  #queueHead = 0;
  #endQueued = false;
  #trailersQueued: readonly HeaderField[] | null = null;
  /** Bytes that have left during the `sendData` that is under way. */
  #sentInCall = NO_CALL;
  /** Consumed bytes for which the peer has not been given credit. */
  #creditOwedBytes = 0;

  constructor(connection: Connection, id: number, sendWindowBytes: number, handler: StreamHandler) {
    this.connection = connection;
    this.id = id;
    this.sendWindowBytes = sendWindowBytes;
    this.receiveWindowBytes = connection.localSettings.initialWindowBytes;
    this.handler = handler;
  }

  get closed(): boolean {
    return this.state === "closed";
  }

  get localEnded(): boolean {
    return this.state === "half-closed (local)" || this.state === "closed";
  }

  get remoteEnded(): boolean {
    return this.state === "half-closed (remote)" || this.state === "closed";
  }

  /** Sends a header section at once. Not allowed while DATA is queued; use `sendTrailers` for the last. */
  sendHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    if (this.localEnded || this.#endQueued) return;
    const { outbound } = this.connection;
    outbound.writeHeaders(this, fields, endStream);
    if (endStream) this.#localEnd();
    outbound.settle();
  }

  /**
   * Sends `bytes[start, end)`, queueing what windows or socket do not take now, or what comes while other
   * streams wait for their turn.
   * @returns how many bytes have left already; `onSent` reports the others, never before this returns.
   */
  sendData(bytes: Uint8Array, start: number, end: number, endStream: boolean): number {
    if (this.localEnded || this.#endQueued) return end - start;
    if (this.queuedBytes > 0) {
      if (endStream) this.#endQueued = true;
      if (start < end) this.#enqueue(bytes, start, end);
      return 0;
    }
    const { outbound } = this.connection;
    let at = start;
    if (start === end || outbound.isMyTurn()) {
      at = outbound.writeDataNow(this, bytes, start, end, endStream);
      if (at === end || this.closed) {
        if (endStream) this.#localEnd();
        outbound.settle();
        return end - start;
      }
    }
    if (endStream) this.#endQueued = true;
    this.#enqueue(bytes, at, end);
    outbound.schedule(this);
    this.#sentInCall = at - start;
    outbound.settle();
    const sent = this.#sentInCall;
    this.#sentInCall = NO_CALL;
    return sent;
  }

  /** Ends our side with a trailer section, behind whatever DATA is queued. */
  sendTrailers(fields: readonly HeaderField[]): void {
    if (this.localEnded || this.#endQueued) return;
    if (this.queuedBytes === 0) {
      this.sendHeaders(fields, true);
    } else {
      this.#endQueued = true;
      this.#trailersQueued = fields;
    }
  }

  /** Ends our side without trailers, behind whatever DATA is queued. */
  sendEnd(): void {
    this.sendData(NO_BYTES, 0, 0, true);
  }

  /** Sends RST_STREAM and forgets the stream. The handler is not called. */
  reset(code: number): void {
    if (this.state === "closed") return;
    const { connection } = this;
    connection.writeReset(this.id, code);
    this.close();
    connection.outbound.settle();
  }

  /** Forgets the stream, whose handler hears why. The peer is told nothing. */
  abort(reset: StreamReset): void {
    const handler = this.handler;
    this.handler = NO_HANDLER;
    this.close();
    handler.onReset(reset);
  }

  /** Sends RST_STREAM and forgets the stream, whose handler hears why. */
  fail(reset: StreamReset): void {
    const handler = this.handler;
    this.handler = NO_HANDLER;
    this.reset(reset.code);
    handler.onReset(reset);
  }

  /** The handler is done with `bytes` bytes of received DATA; the peer gets credit for them in time. */
  consume(bytes: number): void {
    if (this.state === "closed" || bytes === 0) return;
    const { connection } = this;
    this.unconsumedBytes -= bytes;
    connection.heldBytesChanged(-bytes);
    if (this.remoteEnded) return;
    this.#creditOwedBytes += bytes;
    if (this.#creditOwedBytes * 2 >= connection.localSettings.initialWindowBytes) {
      const creditBytes = this.#creditOwedBytes;
      this.#creditOwedBytes = 0;
      this.receiveWindowBytes += creditBytes;
      connection.writeCredit(this.id, creditBytes);
      connection.outbound.settle();
    }
  }

  /** The owner keeps `bytes` bytes until the stream ends; they count for the process's bound. */
  retain(bytes: number): void {
    if (this.state === "closed") return;
    this.retainedBytes += bytes;
    this.connection.retainedBytesChanged(bytes);
  }

  /** Connection only: the peer lets us send more. Returns what is wrong with that, or NO_ERROR. */
  widenSendWindow(creditBytes: number): number {
    if (creditBytes === 0) return ErrorCode.PROTOCOL_ERROR;
    this.sendWindowBytes += creditBytes;
    return this.sendWindowBytes > WINDOW_BYTES_MAX ? ErrorCode.FLOW_CONTROL_ERROR : ErrorCode.NO_ERROR;
  }

  /** Connection only: DATA has arrived and passed the window check. */
  received(bytes: number): void {
    this.receiveWindowBytes -= bytes;
    this.unconsumedBytes += bytes;
    this.connection.heldBytesChanged(bytes);
  }

  /** Connection only: sends at most one frame of the queue. */
  sendQueued(): void {
    const queue = this.#queue;
    const piece = queue?.[this.#queueHead];
    if (queue === null || piece === undefined) return;
    const last = this.#queueHead === queue.length - 1;
    const endWithData = last && this.#endQueued && this.#trailersQueued === null;
    const { outbound } = this.connection;
    const end = Math.min(piece.end, piece.start + outbound.remoteSettings.frameBytesMax);
    const sentTo = outbound.writeDataNow(
      this,
      piece.bytes,
      piece.start,
      end,
      endWithData && end === piece.end,
    );
    const sent = sentTo - piece.start;
    if (sent === 0 || this.closed) return;
    piece.start = sentTo;
    this.queuedBytes -= sent;
    this.connection.heldBytesChanged(-sent);
    if (piece.start === piece.end) this.#dropHead();
    const ended = this.queuedBytes === 0 && this.#endQueued;
    if (ended && this.#trailersQueued !== null) {
      const trailers = this.#trailersQueued;
      this.#trailersQueued = null;
      outbound.writeHeaders(this, trailers, true);
    }
    const handler = this.handler;
    if (ended) this.#localEnd();
    if (this.#sentInCall === NO_CALL) handler.onSent(sent);
    else this.#sentInCall += sent;
  }

  /** True when the connection should call `sendQueued` as soon as window and socket allow. */
  get wantsToSend(): boolean {
    return this.queuedBytes > 0 && this.sendWindowBytes > 0;
  }

  /** Connection only: the peer has sent END_STREAM. */
  remoteEnd(): void {
    if (this.state === "open") this.state = "half-closed (remote)";
    else if (this.state === "half-closed (local)") this.close();
  }

  /** Leaves the connection's tables and drops what is queued. */
  close(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.connection.heldBytesChanged(-(this.queuedBytes + this.unconsumedBytes));
    this.connection.retainedBytesChanged(-this.retainedBytes);
    this.queuedBytes = 0;
    this.unconsumedBytes = 0;
    this.retainedBytes = 0;
    this.#queue = null;
    this.#trailersQueued = null;
    this.connection.outbound.unschedule(this);
    this.connection.forget(this);
  }

  #localEnd(): void {
    if (this.state === "half-closed (remote)") {
      this.close();
    } else if (this.state === "open") {
      this.state = "half-closed (local)";
      if (this.resetAfterEnd) this.reset(ErrorCode.NO_ERROR);
    }
  }

  #enqueue(bytes: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.#queue ??= [];
    const tail = this.#queue.at(-1);
    if (tail?.owned === true && tail.end - tail.start + size <= COPY_BYTES_MAX) {
      append(tail, bytes, start, end);
    } else {
      // A view keeps the whole received chunk alive, so small pieces are copied out of it.
      const owned = size <= COPY_BYTES_MAX || size * 4 < bytes.buffer.byteLength;
      this.#queue.push(
        owned
          ? { bytes: copyBytes(bytes, start, end), start: 0, end: size, owned }
          : { bytes, start, end, owned },
      );
    }
    this.queuedBytes += size;
    this.connection.heldBytesChanged(size);
  }

  #dropHead(): void {
    const queue = this.#queue!;
    this.#queueHead++;
    if (this.#queueHead === queue.length) {
      this.#queue = null;
      this.#queueHead = 0;
    } else if (this.#queueHead >= 64) {
      queue.splice(0, this.#queueHead);
      this.#queueHead = 0;
    }
  }
}

/** Adds `bytes[start, end)` to an owned piece, which grows in doubling steps. */
function append(piece: QueuedData, bytes: Uint8Array, start: number, end: number): void {
  const size = piece.end - piece.start + end - start;
  if (piece.end + end - start > piece.bytes.length) {
    const grown = new Uint8Array(Math.min(COPY_BYTES_MAX, size * 2));
    grown.set(piece.bytes.subarray(piece.start, piece.end));
    piece.bytes = grown;
    piece.end -= piece.start;
    piece.start = 0;
  }
  piece.bytes.set(bytes.subarray(start, end), piece.end);
  piece.end += end - start;
}

const NO_BYTES = new Uint8Array(0);

/** Handler of a stream nobody owns any more. */
export const NO_HANDLER: StreamHandler = {
  onResponse() {},
  onData() {},
  onTrailers() {},
  onSent() {},
  onReset() {},
};

/** A stream that ended because its connection did. */
export function connectionReset(message: string, neverProcessed: boolean): StreamReset {
  return { code: ErrorCode.CANCEL, cause: "connection", neverProcessed, message };
}

/**
 * The stream that holds most bytes; where that holds less than `goalBytes`, as many further ones of at least half as much
 * as it takes to hold those together. Empty when none holds any.
 */
export function largestHolders(streams: readonly Stream[], goalBytes: number): Stream[] {
  let largest: Stream | null = null;
  let largestBytes = 0;
  for (const stream of streams) {
    const held = heldBytesOf(stream);
    if (held <= largestBytes) continue;
    largest = stream;
    largestBytes = held;
  }
  if (largest === null) return [];
  const holders = [largest];
  let sum = largestBytes;
  for (let i = streams.length - 1; i >= 0 && sum < goalBytes; i--) {
    const stream = streams[i]!;
    const held = heldBytesOf(stream);
    if (held * 2 < largestBytes || stream === largest) continue;
    holders.push(stream);
    sum += held;
  }
  return holders;
}

function heldBytesOf(stream: Stream): number {
  return stream.queuedBytes + stream.unconsumedBytes + stream.retainedBytes;
}
