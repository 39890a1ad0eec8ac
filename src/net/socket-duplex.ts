/**
 * A Bun socket as a Node stream, so that `node:http` can serve a connection that was accepted natively.
 *
 * Stands between its owner, who has the socket's callbacks and decides when bytes go on to the HTTP/1.1 parser, and
 * that parser. Backpressure both ways: the owner is told when the reader wants more, and how much is not written yet
 * is `writableLength`.
 */
import { Duplex } from "node:stream";
import type { Socket } from "bun";

export interface SocketDuplexOwner {
  /** The reader wants more bytes. */
  onWanted(): void;
  /** The socket has taken `bytes` bytes. */
  onWritten(bytes: number): void;
  /** The socket has not taken all that was written: `socketDrained` lets it go on. */
  onBlocked(): void;
}

export class SocketDuplex extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: Socket<unknown>;
  readonly #owner: SocketDuplexOwner;
  #unwritten: Uint8Array | null = null;
  #written: ((error?: Error | null) => void) | null = null;

  constructor(socket: Socket<unknown>, owner: SocketDuplexOwner) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#owner = owner;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
  }

  // From the owner.

  /** Hands bytes to the reader; false when it wants no more until `onWanted`. */
  socketData(chunk: Uint8Array): boolean {
    return this.push(chunk);
  }

  socketDrained(): void {
    const rest = this.#unwritten;
    if (rest === null) return;
    this.#unwritten = null;
    const done = this.#written;
    this.#written = null;
    if (done !== null) this.#writeBytes(rest, done);
  }

  socketEnded(): void {
    this.push(null);
  }

  socketClosed(error: Error | undefined): void {
    this.destroy(error);
  }

  // From the stream.

  override _read(): void {
    this.#owner.onWanted();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#writeBytes(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.end();
    done(error);
  }

  #writeBytes(bytes: Uint8Array, done: (error?: Error | null) => void): void {
    const written = this.#socket.write(bytes);
    if (written > 0) this.#owner.onWritten(written);
    if (written < 0) {
      done(new Error("the connection is closed"));
    } else if (written < bytes.length) {
      this.#unwritten = bytes.subarray(written);
      this.#written = done;
      this.#owner.onBlocked();
    } else {
      done();
    }
  }

  // What `node:http` calls on a socket and a native one has done already.

  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}
