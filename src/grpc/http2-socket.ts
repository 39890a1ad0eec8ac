/**
 * Joins a socket to an HTTP/2 connection: bytes in as they come, output out once a turn.
 *
 * Stands between `net`'s sockets and the pure connection. Closing is lingering: what we still have to say,
 * such as GOAWAY, is written and half-closed, and the socket goes when the peer has read it or time is up.
 */
import type { Socket } from "bun";
import type { Connection } from "../http2/connection.ts";
import { ByteCounts } from "./byte-counts.ts";
import { atEndOfTurn, type EndOfTurnWork } from "./end-of-turn.ts";
import { peerOf } from "../net/peer.ts";

/** How long a closed connection may wait for its peer to read the last frames. */
const LINGER_MS = 1000;

export class Http2Socket implements EndOfTurnWork {
  readonly connection: Connection;
  /** The address at the other end, for logs; a closed socket no longer knows it. */
  readonly peer: string;
  readonly #socket: Socket<unknown>;
  readonly #bytes: ByteCounts;
  /** The kernel takes no more; `drain` will tell. */
  #blocked = false;
  #closing = false;
  #inPeace = false;
  #closed = false;

  /** `bytes`: where its bytes are counted, with those of others. */
  constructor(socket: Socket<unknown>, connection: Connection, bytes = new ByteCounts()) {
    this.#bytes = bytes;
    this.peer = peerOf(socket);
    this.#socket = socket;
    this.connection = connection;
  }

  // From the socket.

  onData(chunk: Uint8Array): void {
    this.#bytes.received += chunk.length;
    this.connection.receive(chunk, performance.now());
  }

  onDrain(): void {
    this.#blocked = false;
    this.flush();
  }

  /** The peer sends no more. HTTP/2 has no use for half a connection. */
  onPeerEnd(): void {
    this.connection.transportClosed("connection closed by the peer");
    this.#close();
  }

  onClose(error: Error | undefined): void {
    this.#closed = true;
    this.connection.outbound.output.release();
    this.connection.transportClosed(
      error === undefined ? "connection closed" : `connection lost: ${error.message}`,
    );
  }

  // From the connection.

  onOutput(): void {
    atEndOfTurn(this);
  }

  onOutputLarge(): void {
    this.flush();
  }

  onEndOfTurn(): void {
    this.flush();
  }

  /**
   * The connection is over: say what is left to say, then go. `inPeace`: the peer has asked for all of that, and gets
   * it however slowly it reads, as long as this process lets the socket live.
   */
  finish(inPeace = false): void {
    this.#closing = true;
    this.#inPeace = inPeace;
    this.flush();
    if (!this.#blocked) this.#close();
    else if (!inPeace) setTimeout(() => this.#close(), LINGER_MS).unref();
  }

  /** Writes output until the kernel takes no more. */
  flush(): void {
    const outbound = this.connection.outbound;
    const output = outbound.output;
    while (output.length > 0 && !this.#blocked && !this.#closed) {
      const written = this.#socket.write(output.bytes, 0, output.length);
      if (written > 0) this.#bytes.sent += written;
      if (written >= output.length) {
        output.release();
      } else if (written >= 0) {
        output.discard(written);
        this.#blocked = true;
      } else {
        output.release();
        return;
      }
      if (!this.connection.ended) outbound.drained();
    }
    if (this.#closing && output.length === 0) this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.connection.outbound.output.release();
    this.#socket.shutdown();
    setTimeout(() => {
      // What the kernel still holds for the peer is sent behind an end, and lost by a reset.
      if (this.#inPeace) this.#socket.end();
      else this.#socket.terminate();
    }, LINGER_MS).unref();
  }
}
