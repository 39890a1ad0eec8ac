/**
 * A Bun socket as a Node stream, so that `node:http` can serve a connection that was accepted natively.
 *
 * Stands between a listener's socket callbacks, which are passed on to `socketData`, `socketDrained`, `socketEnded` and
 * `socketClosed`, and the HTTP/1.1 parser. Backpressure both ways: the socket is paused while the reader is behind.
 */
import { Duplex } from "node:stream";
import type { Socket } from "bun";

export class SocketDuplex extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: Socket<unknown>;
  #unwritten: Uint8Array | null = null;
  #written: ((error?: Error | null) => void) | null = null;

  constructor(socket: Socket<unknown>) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
  }

  // From the socket's callbacks.

  socketData(chunk: Uint8Array): void {
    if (!this.push(chunk)) this.#socket.pause();
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
    this.#socket.resume();
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
    if (written < 0) {
      done(new Error("the connection is closed"));
    } else if (written < bytes.length) {
      this.#unwritten = bytes.subarray(written);
      this.#written = done;
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
