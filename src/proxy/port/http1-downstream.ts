/**
 * A client's connection that speaks HTTP/1.1: what stands between its socket and the parser of `node:http`.
 *
 * Bytes go to the parser in pieces, and behind a request that is whole no further ones until it is answered: so a
 * client that pipelines makes us hold what it has sent, not what we would have made of it. Bun does not enforce
 * `node:http`'s time-outs on connections that are handed over, so each is held to its own here: for a header section,
 * for a body, for an answer that is not read, and between two requests.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "bun";
import { DeadlineEntry } from "../../base/deadline-wheel.ts";
import type { BufferHolder } from "../../http2/buffer-budget.ts";
import { SocketDuplex, type SocketDuplexOwner } from "../../net/socket-duplex.ts";
import { HTTP1_LIMITS } from "./http1-limits.ts";
import type { Downstreams } from "./http2-downstream.ts";
import { peerOf } from "../../net/peer.ts";

/** The limits that a client of HTTP/1.1 can reach. */
type Http1LimitName =
  | "headerTime"
  | "headerList"
  | "bodyTime"
  | "messageSize"
  | "inflatedMessage"
  | "pipelining"
  | "unreadOutput"
  | "processBuffers";

/** Bytes the parser is given at once where they may be many small requests: some forty. */
const PIECE_BYTES = 1024;
/** The same within a body whose length is known. */
const BODY_PIECE_BYTES = 64 * 1024;
/** What a request under way costs besides its bytes, about. */
const EXCHANGE_BYTES = 8 * 1024;

/** What a chunk of a chunked body costs besides its bytes, about. */
const CHUNK_BYTES = 512;

/** A request that is being received or answered. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export class Http1Downstream extends DeadlineEntry implements SocketDuplexOwner, BufferHolder {
  readonly duplex: SocketDuplex;
  /** The client's address, for logs. */
  readonly peer: string;
  deadlineMs: number;
  /** What counts for the process's bound. */
  budgetedBytes = 0;
  readonly #socket: Socket<unknown>;
  readonly #shared: Downstreams;
  /** The largest body that can be a message. */
  /** Of the last request. */
  #bodyBytesMax = 0;
  /** Received and not yet given to the parser. */
  #pending: Uint8Array | null = null;
  #wanted = true;
  #feeding = false;
  #peerEnded = false;
  /** In the order they came. */
  readonly #exchanges = new Set<Exchange>();
  #last: Exchange | null = null;
  #closing = false;
  /** The port takes leave of its clients. */
  #draining = false;
  #closed = false;
  /** When the header section that is coming began; 0 when none is. */
  #headerSinceMs = 0;
  /** When the last request's header section was whole. */
  #bodySinceMs = 0;
  #bodyBytes = 0;
  /** Chunks that it came in, about: the parser makes an object of each. */
  #bodyChunks = 0;
  /** When something moved last: the client sent something, or took something. */
  #movedMs = performance.now();

  constructor(socket: Socket<unknown>, shared: Downstreams) {
    super();
    this.#socket = socket;
    this.#shared = shared;
    this.peer = peerOf(socket);
    this.duplex = new SocketDuplex(socket, this);
    this.duplex.on("error", () => {}); // The close that follows is what matters.
    this.deadlineMs = this.#movedMs + HTTP1_LIMITS.headerMs;
    shared.deadlines.add(this);
    shared.http2.budget?.join(this);
  }

  // From the parser.

  /** The header section of a request is whole. Returns false when it is not to be served. */
  onExchange(request: IncomingMessage, response: ServerResponse): boolean {
    if (this.#closing) return false;
    const exchange: Exchange = { request, response };
    this.#exchanges.add(exchange);
    this.#last = exchange;
    this.#headerSinceMs = 0;
    this.#bodySinceMs = performance.now();
    this.#bodyBytes = 0;
    this.#bodyBytesMax = this.#shared.router.bodyBytesMax(request.url ?? "");
    this.#bodyChunks = 0;
    if (this.#draining) this.#makeLast(exchange);
    const onDone = (): void => this.#onDone(exchange);
    response.once("finish", onDone);
    response.once("close", onDone);
    return true;
  }

  /** What is being answered is the last: nothing that comes behind it is read any more. */
  lastExchange(): void {
    this.#closing = true;
    this.#movedMs = performance.now();
  }

  /** Requests that are being received or answered. */
  get requests(): number {
    return this.#exchanges.size;
  }

  /** What is being answered is the last, and is answered so; where nothing is, the next request will be. */
  drain(): void {
    this.#draining = true;
    if (this.#last !== null && this.#exchanges.has(this.#last)) this.#makeLast(this.#last);
  }

  /** Closes a connection that is being drained, unless a request is under way: that one closes it. */
  endIfIdle(): void {
    if (this.#closed || this.#exchanges.size > 0 || this.#headerSinceMs > 0 || this.#pending !== null) return;
    this.lastExchange();
    this.duplex.end();
    this.#feed();
  }

  #makeLast({ response }: Exchange): void {
    if (!response.headersSent) response.setHeader("connection", "close");
    this.lastExchange();
  }

  /** No further request is served. */
  get closing(): boolean {
    return this.#closing;
  }

  onWanted(): void {
    this.#wanted = true;
    this.#feed();
  }

  onWritten(bytes: number): void {
    this.#shared.bytes.sent += bytes;
  }

  onBlocked(): void {
    this.#movedMs = performance.now();
    this.#account();
  }

  #onDone(exchange: Exchange): void {
    if (!this.#exchanges.delete(exchange)) return;
    this.#movedMs = performance.now();
    if (this.#last === exchange && exchange.request.complete) {
      this.#bodyBytes = 0;
      this.#bodyChunks = 0;
    }
    if (this.#draining && this.#exchanges.size === 0) this.duplex.end(); // Its head may have promised otherwise.
    this.#feed();
  }

  // From the socket.

  onData(chunk: Uint8Array): void {
    this.#shared.bytes.received += chunk.length;
    if (this.#closing && !this.#receiving) return;
    this.#movedMs = performance.now();
    this.#pending = this.#pending === null ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#feed();
  }

  onDrain(): void {
    this.#movedMs = performance.now();
    this.duplex.socketDrained();
    this.#account();
  }

  onPeerEnd(): void {
    this.#peerEnded = true;
    this.#feed();
  }

  onClose(error: Error | undefined): void {
    if (!this.#closed) this.#forget();
    this.duplex.socketClosed(error);
  }

  // From the process's buffers.

  shedLargest(): void {
    this.#end("processBuffers", "buffers are full");
  }

  /** A header section or a body has taken too long, or the client has been away. */
  override onDeadline(): void {
    const nowMs = performance.now();
    if (this.#dueMs() > nowMs) {
      this.#arm(nowMs);
      return;
    }
    if (this.#closing) this.#leave();
    else if (this.#headerSinceMs > 0) this.#end("headerTime", "a header section takes too long");
    else if (this.#receiving) this.#end("bodyTime", "a body comes too slowly");
    else if (this.duplex.writableLength > 0) this.#end("unreadOutput", "the client does not read its answer");
    else if (this.#pending !== null) this.#end("pipelining", "requests wait behind an answer for too long");
    else this.#terminate();
  }

  /** A request's body is on its way. */
  get #receiving(): boolean {
    return this.#last !== null && !this.#last.request.complete;
  }

  /** Gives the parser what it may have, and stops the socket while more has come than that. */
  #feed(): void {
    if (this.#feeding || this.#closed) return;
    this.#feeding = true;
    while (this.#pending !== null && this.#wanted && this.#mayFeed) this.#feedPiece(this.#pending);
    this.#feeding = false;
    if (this.#closed) return;
    if (this.#closing && !this.#receiving) this.#pending = null;
    // While an answer is under way the socket is read, or we would not notice that the client has gone.
    if (this.#pending !== null || !this.#wanted) this.#socket.pause();
    else this.#socket.resume();
    if (this.#peerEnded && this.#pending === null) this.duplex.socketEnded();
    this.#account();
    if (this.#dueMs() < this.deadlineMs) this.#arm(performance.now());
  }

  /** What comes next belongs to a request that may be received now. */
  get #mayFeed(): boolean {
    return this.#receiving || (this.#exchanges.size === 0 && !this.#closing);
  }

  #feedPiece(pending: Uint8Array): void {
    const receiving = this.#receiving;
    const piece = pending.subarray(0, this.#pieceBytes);
    this.#pending = piece.length === pending.length ? null : pending.subarray(piece.length);
    if (receiving) this.#onBody(piece);
    else if (this.#headerSinceMs === 0) this.#headerSinceMs = performance.now();
    if (!this.#closed) this.#wanted = this.duplex.socketData(piece);
  }

  /** How much the parser may be given: hardly more than belongs to one request. */
  get #pieceBytes(): number {
    const length = this.#receiving ? this.#last?.request.headers["content-length"] : undefined;
    if (length === undefined) return PIECE_BYTES;
    return Math.min(BODY_PIECE_BYTES, Math.max(PIECE_BYTES, Number(length) - this.#bodyBytes));
  }

  #onBody(piece: Uint8Array): void {
    const before = this.#bodyBytes;
    this.#bodyBytes += piece.length;
    if (this.#last?.request.headers["transfer-encoding"] !== undefined)
      this.#bodyChunks += lineEnds(piece) / 2;
    const reason = `a body of more than ${this.#bodyBytesMax} bytes`;
    if (this.#bodyBytes > this.#bodyBytesMax + HTTP1_LIMITS.bodyBytesBeyondMax) this.#terminate();
    else if (before <= this.#bodyBytesMax && this.#bodyBytes > this.#bodyBytesMax) {
      this.limitReached("messageSize", reason);
    }
  }

  /** When the client will have kept us waiting for too long, in milliseconds of `performance.now()`. */
  #dueMs(): number {
    const { headerMs, bodyMs, bodyBytesPerSecondMin, silenceMs, lingerMs } = HTTP1_LIMITS;
    const answered = this.#exchanges.size === 0 && this.duplex.writableLength === 0;
    if (this.#closing && answered) return this.#movedMs + lingerMs;
    if (this.#headerSinceMs > 0) return this.#headerSinceMs + headerMs;
    if (this.#receiving) return this.#bodySinceMs + bodyMs + (this.#bodyBytes * 1000) / bodyBytesPerSecondMin;
    const waits = this.#exchanges.size > 0 && this.duplex.writableLength === 0 && this.#pending === null;
    return waits ? Number.POSITIVE_INFINITY : this.#movedMs + silenceMs;
  }

  /** Looks again when it is due; what moves meanwhile only makes that later. */
  #arm(nowMs: number): void {
    this.#shared.deadlines.remove(this);
    this.deadlineMs = Math.min(this.#dueMs(), nowMs + HTTP1_LIMITS.silenceMs);
    this.#shared.deadlines.add(this);
  }

  #account(): void {
    if (this.#closed) return;
    const heldBytes =
      (this.#pending?.length ?? 0) +
      this.#bodyBytes +
      this.#bodyChunks * CHUNK_BYTES +
      this.duplex.writableLength +
      this.#exchanges.size * EXCHANGE_BYTES;
    const change = heldBytes - this.budgetedBytes;
    if (change === 0) return;
    this.budgetedBytes = heldBytes;
    this.#shared.http2.budget?.changed(change);
  }

  #end(limit: Http1LimitName, reason: string): void {
    this.limitReached(limit, reason);
    this.#terminate();
  }

  /** The client has reached a limit: for logs and counters. `reason` is for people. */
  limitReached(limit: Http1LimitName, reason: string): void {
    this.#shared.limits.reached("client", limit, this.peer, { reason });
  }

  /** Closes the connection; what the kernel still holds for a client that reads slowly is sent behind that. */
  #leave(): void {
    this.#forget();
    this.#socket.end();
  }

  #terminate(): void {
    this.#forget();
    this.#socket.terminate();
  }

  /** The connection is over, or about to be. */
  #forget(): void {
    this.#closed = true;
    this.#closing = true;
    this.#pending = null;
    this.#shared.deadlines.remove(this);
    const heldBytes = this.budgetedBytes;
    this.budgetedBytes = 0;
    this.#shared.http2.budget?.changed(-heldBytes);
    this.#shared.http2.budget?.leave(this);
  }
}

/** How many lines end in `bytes`: of a chunked body two for each chunk, and hardly any else. */
function lineEnds(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}

const LF = 0x0a;
