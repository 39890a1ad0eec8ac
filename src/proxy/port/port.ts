/**
 * The proxy's port: HTTP/2 and HTTP/1.1 clients on one address, told apart by their first bytes.
 *
 * Every connection must be through its TLS handshake and say what it is, and an HTTP/2 one send its SETTINGS, within the
 * preface time-out. The number of connections is bounded.
 */
import type { Socket } from "bun";
import { DeadlineEntry, type DeadlineTimer } from "../../base/deadline-wheel.ts";
import { inBatches } from "../../base/in-batches.ts";
import { Code, type Status } from "../../grpc/status.ts";
import { type Address, formatAddress } from "../../net/address.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { agreedProtocol, isTlsError, type ListenerTls } from "../../net/tls.ts";
import type { Http1Downstream } from "./http1-downstream.ts";
import { Http1Side } from "./http1-side.ts";
import { type Downstreams, Http2Downstream } from "./http2-downstream.ts";
import { peerOf } from "../../net/peer.ts";

/** How long a connection may be silent before the kernel asks whether its client still exists. */
const KEEPALIVE_MS = 15_000;
/** How long a client that has nothing under way may take to hear that it is to go, before it is closed. */
const DRAIN_PATIENCE_MS = 1_000;

export interface PortOptions {
  readonly address: Address;
  /** The flag that the address is from, for errors. */
  readonly flag: string;
  readonly connectionsMax: number;
  /** When that many are open the oldest one with no request under way is closed, so that there is room for whoever asks. */
  readonly idleGiveWay?: boolean;
  /** Without it clients speak plain text. */
  readonly tls?: ListenerTls | undefined;
  /** The port is shared with the other workers of this process. */
  readonly reusePort?: boolean | undefined;
  readonly shared: Downstreams;
}

export class Port {
  readonly #listener: Listener;
  readonly #connections = new Set<PortConnection>();
  #onEmpty = (): void => {};

  /** Listens. @throws ListenError */
  constructor(options: PortOptions) {
    const { shared } = options;
    const http1 = new Http1Side(shared);
    this.#listener = listen<PortConnection>({
      address: options.address,
      flag: options.flag,
      connectionsMax: options.connectionsMax,
      tls: options.tls,
      reusePort: options.reusePort,
      refused: (peer) => {
        const reason = `${options.connectionsMax} connections are open`;
        shared.limits.reached("client", "connections", peer, { reason });
      },
      handlers: {
        open: (socket) => {
          socket.setKeepAlive(true, KEEPALIVE_MS);
          socket.data = new PortConnection(socket, shared, http1, options.tls !== undefined);
          if (options.idleGiveWay && this.#connections.size >= options.connectionsMax - 1)
            this.#endOldestIdle();
          this.#connections.add(socket.data);
          this.connectionsTotal++;
        },
        secured: (socket) => socket.data.onSecured(),
        handshakeFailed: (socket, reason, left) => socket.data.onHandshakeFailed(reason, left),
        data: (socket, chunk) => socket.data.onData(chunk),
        drain: (socket) => socket.data.onDrain(),
        end: (socket) => socket.data.onPeerEnd(),
        close: (socket, error) => {
          this.#connections.delete(socket.data);
          socket.data.onClose(error);
          if (this.#connections.size === 0) this.#onEmpty();
        },
        error: (socket, error) => {
          if (isTlsError(error)) return; // The client broke it off; the close that follows is what matters.
          shared.log.write("error", "unexpected", "unexpected error on a client's connection", {
            peer: socket.data.peer,
            error: error.stack ?? error.message,
          });
          socket.terminate();
        },
      },
    });
  }

  /** Where it listens, `host:port`. */
  get address(): string {
    return formatAddress(this.#listener.address);
  }

  /** Open connections by what they speak; counted when asked. */
  get connectionCounts(): Readonly<Record<Speaks["protocol"], number>> {
    const counts = { unknown: 0, http1: 0, http2: 0 };
    for (const connection of this.#connections) counts[connection.protocol]++;
    return counts;
  }

  /** Connections that were accepted since the start, those that were reset not among them. */
  connectionsTotal = 0;

  /** Connections that were reset because too many were open. */
  get connectionsRefused(): number {
    return this.#listener.connectionsRefused;
  }

  /** Requests under way; counted when asked. */
  get requests(): number {
    let requests = 0;
    for (const connection of this.#connections) requests += connection.requests;
    return requests;
  }

  /** Open connections. */
  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Takes no more connections, and tells clients to finish what they have begun, within about `spreadMs` milliseconds:
   * resolves when all have been told. Clients with nothing under way are closed a moment later.
   */
  async drain(spreadMs: number): Promise<void> {
    await this.#listener.stopBehindQueue();
    await inBatches(this.#connections, spreadMs, (connection) => connection.drain());
    setTimeout(() => {
      for (const connection of this.#connections) connection.endIfIdle();
    }, DRAIN_PATIENCE_MS).unref();
  }

  /** Resolves when no connection is left. */
  empty(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    if (this.#connections.size === 0) resolve();
    return promise;
  }

  #endOldestIdle(): void {
    for (const connection of this.#connections) {
      if (connection.requests > 0) continue;
      connection.terminate(); // Its end would wait for the client's.
      return;
    }
  }

  /** Ends what is still open: behind what has been written, gRPC calls with UNAVAILABLE. */
  close(): void {
    this.#listener.stop();
    for (const connection of this.#connections) connection.cut();
  }
}

/** The three bytes that no HTTP/1.1 method shares with HTTP/2's preface, and one more to be sure. */
const HTTP2_FIRST = Buffer.from("PRI ", "latin1");

type Speaks =
  | { readonly protocol: "unknown"; readonly first: Uint8Array }
  | { readonly protocol: "http2"; readonly downstream: Http2Downstream }
  | { readonly protocol: "http1"; readonly downstream: Http1Downstream };

class PortConnection extends DeadlineEntry {
  readonly deadlineMs: number;
  /** The client's address, for logs; a closed socket no longer knows it. */
  readonly peer: string;
  readonly #socket: Socket<PortConnection>;
  readonly #shared: Downstreams;
  readonly #deadlines: DeadlineTimer;
  readonly #http1: Http1Side;
  #speaks: Speaks = NOTHING_YET;
  #inHandshake: boolean;
  #draining = false;

  constructor(socket: Socket<PortConnection>, shared: Downstreams, http1: Http1Side, tls: boolean) {
    super();
    this.#socket = socket;
    this.peer = peerOf(socket);
    this.#shared = shared;
    this.#http1 = http1;
    this.#inHandshake = tls;
    this.#deadlines = shared.deadlines;
    this.deadlineMs = performance.now() + shared.http2.limits.prefaceTimeoutMs;
    this.#deadlines.add(this);
  }

  get protocol(): Speaks["protocol"] {
    return this.#speaks.protocol;
  }

  /** The TLS handshake is done: what the client speaks may be agreed on already. */
  onSecured(): void {
    this.#inHandshake = false;
  }

  onHandshakeFailed(reason: string, left: boolean): void {
    this.#shared.log.write(left ? "debug" : "warn", `tls ${reason}`, "a client's TLS handshake failed", {
      peer: this.peer,
      reason,
    });
  }

  onData(chunk: Uint8Array): void {
    const speaks = this.#speaks;
    switch (speaks.protocol) {
      case "http2":
        speaks.downstream.socket.onData(chunk);
        break;
      case "http1":
        speaks.downstream.onData(chunk);
        break;
      case "unknown":
        this.#onFirstBytes(speaks.first.length === 0 ? chunk : Buffer.concat([speaks.first, chunk]));
        break;
    }
  }

  onDrain(): void {
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") speaks.downstream.socket.onDrain();
    else if (speaks.protocol === "http1") speaks.downstream.onDrain();
  }

  onPeerEnd(): void {
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") speaks.downstream.socket.onPeerEnd();
    else if (speaks.protocol === "http1") speaks.downstream.onPeerEnd();
    else this.#socket.end();
  }

  onClose(error: Error | undefined): void {
    this.#deadlines.remove(this);
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") speaks.downstream.socket.onClose(error);
    else if (speaks.protocol === "http1") speaks.downstream.onClose(error);
  }

  /** Requests that are being received or answered. */
  get requests(): number {
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") return speaks.downstream.connection.streams.size;
    return speaks.protocol === "http1" ? speaks.downstream.requests : 0;
  }

  /** Tells the client to finish; one that has said nothing is told when it does. */
  drain(): void {
    this.#draining = true;
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") speaks.downstream.connection.drain();
    else if (speaks.protocol === "http1") speaks.downstream.drain();
  }

  /** The client has had its time to hear of `drain`: closes it unless something is under way. */
  endIfIdle(): void {
    const speaks = this.#speaks;
    if (speaks.protocol === "http2") speaks.downstream.connection.finishDrain();
    else if (speaks.protocol === "http1") speaks.downstream.endIfIdle();
    else this.#socket.end();
  }

  /** Ends it, whatever is under way. */
  cut(): void {
    if (this.#speaks.protocol === "http2") this.#speaks.downstream.cut(CUT);
    else this.#socket.end();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** The preface time-out: a client that has said enough by now is left alone. */
  override onDeadline(): void {
    const speaks = this.#speaks;
    if (speaks.protocol === "http1") return;
    if (speaks.protocol === "http2" && speaks.downstream.connection.settingsReceived) return;
    const [limit, reason] = this.#inHandshake
      ? ["tlsHandshake", "a client did not finish its TLS handshake in time"]
      : ["preface", "a client said too little in time"];
    this.#shared.limits.reached("client", limit, this.peer, { reason });
    this.terminate();
  }

  /** What was agreed on by ALPN is what is spoken; else the first bytes tell. */
  #onFirstBytes(bytes: Uint8Array): void {
    switch (agreedProtocol(this.#socket)) {
      case "h2":
        this.#speakHttp2(bytes);
        break;
      case "http/1.1":
        this.#speakHttp1(bytes);
        break;
      default:
        this.#sniff(bytes);
    }
  }

  #sniff(bytes: Uint8Array): void {
    const compared = Math.min(bytes.length, HTTP2_FIRST.length);
    if (HTTP2_FIRST.compare(bytes, 0, compared, 0, compared) !== 0) {
      this.#speakHttp1(bytes);
    } else if (compared < HTTP2_FIRST.length) {
      this.#speaks = { protocol: "unknown", first: bytes };
    } else {
      this.#speakHttp2(bytes);
    }
  }

  #speakHttp1(bytes: Uint8Array): void {
    const downstream = this.#http1.accept(this.#socket, bytes, this.#draining);
    this.#speaks = { protocol: "http1", downstream };
  }

  #speakHttp2(bytes: Uint8Array): void {
    const downstream = new Http2Downstream(this.#socket, this.#shared);
    this.#speaks = { protocol: "http2", downstream };
    downstream.socket.onData(bytes);
    if (this.#draining) downstream.connection.drain();
  }
}

/** Of a call that was cut nobody here knows whether it was carried out. */
const CUT: Status = {
  code: Code.UNAVAILABLE,
  message: "etcdproxy: the proxy has stopped before the call was answered",
};
const NOTHING_YET: Speaks = { protocol: "unknown", first: new Uint8Array(0) };
