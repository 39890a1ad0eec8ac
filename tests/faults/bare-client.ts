/**
 * A socket that writes what it is told, reads or does not, and tells when it is closed: a peer that knows no protocol.
 */
import type { Socket } from "bun";
import { parseAddress } from "../../src/net/address.ts";
import { concat } from "../http2/frames.ts";

/** What is kept of what the other side says, in bytes: its beginning. */
const KEPT_BYTES_MAX = 256 * 1024;

export class BareClient implements Disposable {
  /** Resolves once the other side has ended or reset the connection. */
  readonly closed: Promise<void>;
  /** This end's address, `host:port`, as the other side sees it. */
  readonly address: string;
  isClosed = false;
  receivedBytes = 0;
  readonly #socket: Socket<BareClient>;
  readonly #received: Uint8Array[] = [];
  #unsent: Uint8Array = new Uint8Array(0);
  #drained: (() => void) | null = null;

  private constructor(socket: Socket<BareClient>, closed: Promise<void>) {
    this.#socket = socket;
    this.address = `${socket.localAddress}:${socket.localPort}`;
    this.closed = closed;
  }

  static async connect(address: string): Promise<BareClient> {
    const closed = Promise.withResolvers<void>();
    const onClosed = (socket: Socket<BareClient>): void => {
      socket.data.isClosed = true;
      socket.data.#drained?.();
      closed.resolve();
    };
    const socket = await Bun.connect<BareClient>({
      ...parseAddress(address),
      allowHalfOpen: true,
      socket: {
        open(opened) {
          opened.data = new BareClient(opened, closed.promise);
        },
        data: (opened, chunk) => opened.data.#onData(chunk),
        drain: (opened) => opened.data.#flush(),
        end: onClosed,
        close: onClosed,
        error() {},
      },
    });
    return socket.data;
  }

  send(...sent: readonly Uint8Array[]): void {
    this.#unsent = concat([this.#unsent, ...sent]);
    this.#flush();
  }

  /** Sends what `make` makes until it makes nothing more, or the connection is closed: as fast as the socket takes it. */
  async flood(make: (index: number) => Uint8Array | null): Promise<void> {
    for (let i = 0; !this.isClosed; i++) {
      const chunk = make(i);
      if (chunk === null) return;
      this.send(chunk);
      if (this.sentAll) await Bun.sleep(0);
      else {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
      }
      this.#drained = null;
    }
  }

  get sentAll(): boolean {
    return this.#unsent.length === 0;
  }

  /** The beginning of what the other side has said, octet by octet. */
  get receivedText(): string {
    return Buffer.concat(this.#received).toString("latin1");
  }

  halfClose(): void {
    this.#socket.shutdown();
  }

  stopReading(): void {
    this.#socket.pause();
  }

  /** Resets the connection. */
  reset(): void {
    this.#socket.terminate();
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }

  #onData(chunk: Uint8Array): void {
    if (this.receivedBytes < KEPT_BYTES_MAX) this.#received.push(chunk);
    this.receivedBytes += chunk.length;
  }

  #flush(): void {
    if (this.#unsent.length === 0) return;
    const written = this.#socket.write(this.#unsent);
    if (written > 0) this.#unsent = this.#unsent.subarray(written);
    if (this.sentAll || written < 0) this.#drained?.();
  }
}
