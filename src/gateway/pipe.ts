/**
 * One end of a pipe between two sockets: what arrives at one end leaves at the other.
 *
 * Stands between a client's socket and a member's, knowing neither TLS nor HTTP. Bytes keep their order, none is
 * lost or doubled, and what waits for an end is bounded: a client's first words and one chunk (512 KiB, what Bun reads
 * at once), or what was on its way inside the kernel (1 MiB). Its source is paused until it has left. A half-close passes through behind the bytes before it; a
 * reset passes through at once.
 *
 *      client ── socket ─ PipeEnd  received ──> write ─ PipeEnd ─ socket ── member
 *                         (downstream)                  (upstream)
 */
import type { Socket } from "bun";
import { Splicer } from "../net/splice.ts";
import { peerOf } from "../net/peer.ts";

/**
 * A client's first words are short, and it waits for an answer: behind so few bytes it is not paused while its member
 * is dialled, since to pause and resume a socket costs as much as to write to it. Behind a second chunk it is.
 */
const FIRST_WORDS_BYTES_MAX = 16 * 1024;
/** From here on memory is given back at once; what is smaller is left to the collector, whose work it hardly is. */
const LARGE_CHUNK_BYTES = 16 * 1024;

/** A chunk of this size says that more is behind it. */
const BULK_CHUNK_BYTES = 128 * 1024;
/** What one connection may move at a time, before others have their turn. */
const SPLICE_BYTES_MAX = 4 * 1024 * 1024;

/** Who hears of a pipe's end: exactly one of the two, at most once. */
export interface PipeOwner {
  /** Both directions have ended and every byte has left; both sockets are closed. */
  pipeFinished(): void;
  /** An end's socket was reset or failed; the other one is reset too. */
  pipeBroken(): void;
}

export class PipeEnd {
  readonly #owner: PipeOwner;
  #other: PipeEnd;
  /** Null until there is a socket, and again when the pipe is over. */
  #socket: Socket<PipeEnd> | null = null;
  /** What waits to leave at this end, from `#pendingStart` on. */
  #pending: Uint8Array | null = null;
  #pendingStart = 0;
  /** Nothing is read at this end until its bytes have left at the other. */
  #paused = false;
  #receivedBytes = 0;
  /** How often bytes that had to wait have moved on. */
  #drains = 0;
  /** The peer at this end sends no more. */
  #readEnded = false;
  /** This end has been half-closed: it sends no more to its peer. */
  #writeEnded = false;

  private constructor(owner: PipeOwner) {
    this.#owner = owner;
    this.#other = this;
  }

  /** Two ends without sockets. Bytes that arrive before the other end has its socket wait for it. */
  static pair(owner: PipeOwner): { downstream: PipeEnd; upstream: PipeEnd } {
    const downstream = new PipeEnd(owner);
    const upstream = new PipeEnd(owner);
    downstream.#other = upstream;
    upstream.#other = downstream;
    return { downstream, upstream };
  }

  /** Gives this end its socket, whose `data` must be this end already, and sends what has been waiting. */
  attach(socket: Socket<PipeEnd>): void {
    this.#socket = socket;
    if (this.#pending !== null) this.drained();
    else if (this.#other.#readEnded) this.#finishWriting();
  }

  /** Who is at this end, `host:port`; "" without a socket. */
  get peer(): string {
    return this.#socket === null ? "" : peerOf(this.#socket);
  }

  /** What this end's peer has sent, in bytes. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Changes whenever bytes move at this end: what has not changed has been silent. */
  get activity(): number {
    return this.#receivedBytes + this.#drains;
  }

  /** Whether bytes wait to leave at this end. */
  get waiting(): boolean {
    return this.#pending !== null;
  }

  /** Has the kernel ask this end's peer, after so many milliseconds of silence, whether it still exists. */
  keepAlive(idleMs: number): void {
    this.#socket?.setKeepAlive(true, idleMs);
  }

  /** A chunk arrived at this end. It is kept, not copied: Bun hands each one out once. */
  received(chunk: Uint8Array): void {
    this.#receivedBytes += chunk.length;
    const other = this.#other;
    let written = 0;
    if (other.#pending === null && other.#socket !== null) {
      written = other.#socket.write(chunk);
      if (written === chunk.length) {
        if (written >= LARGE_CHUNK_BYTES) giveBack(chunk);
        if (written >= BULK_CHUNK_BYTES) this.#spliceOn(other.#socket);
        return;
      }
      // Closed under our hands: its close event ends the pipe.
      if (written < 0) return;
    }
    const firstWords = other.#socket === null && other.#pending === null;
    other.#hold(chunk, written);
    if (!firstWords || chunk.length > FIRST_WORDS_BYTES_MAX) this.#pause();
  }

  /** Bulk data: what has come since is moved on inside the kernel, behind the chunk that has left. */
  #spliceOn(to: Socket<PipeEnd>): void {
    const splicer = Splicer.shared;
    if (splicer === null || this.#socket === null) return;
    const { movedBytes, left } = splicer.move(this.#socket, to, SPLICE_BYTES_MAX);
    this.#receivedBytes += movedBytes;
    if (left === null) return;
    this.#receivedBytes += left.length;
    const written = to.write(left);
    if (written === left.length || written < 0) return;
    this.#other.#hold(left, written);
    this.#pause();
  }

  /** This end's socket takes bytes again. */
  drained(): void {
    if (this.#pending === null || this.#socket === null) return;
    const length = this.#pending.length - this.#pendingStart;
    const written = this.#socket.write(this.#pending, this.#pendingStart, length);
    if (written < 0) return;
    this.#drains++;
    this.#pendingStart += written;
    if (written < length) {
      this.#other.#pause();
      return;
    }
    giveBack(this.#pending);
    this.#pending = null;
    this.#other.#resume();
    if (this.#other.#readEnded) this.#finishWriting();
  }

  /** The peer at this end has half-closed. */
  ended(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    const other = this.#other;
    if (other.#pending === null && other.#socket !== null) other.#finishWriting();
  }

  /** This end's socket is closed; `error` where it was reset or failed. */
  closed(socket: Socket<PipeEnd>, error: Error | undefined): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    if (this.#writeEnded && error === undefined) {
      // Bun closes a half-closed socket when its peer ends too, without telling the end apart.
      this.ended();
      return;
    }
    this.abort();
    this.#owner.pipeBroken();
  }

  /** Resets both sockets; the owner hears nothing. */
  abort(): void {
    for (const socket of this.#takeSockets()) socket.terminate();
  }

  /** Closes both sockets in the orderly way; what still waits is lost, and the owner hears nothing. */
  close(): void {
    for (const socket of this.#takeSockets()) socket.end();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket?.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket?.resume();
  }

  /** Everything has been written to this end: half-close it, or close both when that was the second direction. */
  #finishWriting(): void {
    if (this.#readEnded && this.#other.#pending === null) {
      this.close();
      this.#owner.pipeFinished();
    } else {
      this.#writeEnded = true;
      this.#socket?.shutdown();
    }
  }

  #hold(chunk: Uint8Array, start: number): void {
    if (this.#pending === null) {
      this.#pending = chunk;
      this.#pendingStart = start;
    } else {
      this.#pending = Buffer.concat([this.#pending.subarray(this.#pendingStart), chunk.subarray(start)]);
      this.#pendingStart = 0;
    }
  }

  /** Detaches both sockets, so that their close events find no pipe any more. */
  #takeSockets(): Socket<PipeEnd>[] {
    const sockets: Socket<PipeEnd>[] = [];
    for (const end of [this, this.#other]) {
      if (end.#socket !== null) sockets.push(end.#socket);
      end.#socket = null;
      end.#pending = null;
    }
    return sockets;
  }
}

/**
 * Frees what has been written, which nobody reads any more. The collector would come to it late, after megabytes of
 * others: with the memory used again at once, and still in the processor's cache, a gigabyte costs a fifth less.
 */
function giveBack(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length) buffer.transfer(0);
}
