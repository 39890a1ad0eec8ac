/**
 * A TCP relay on loopback between two processes, which a test can cut, stall, slow down, or close to newcomers.
 *
 * It stands where a network stands: one side connects to `endpoint` and is carried to `target`. Cut connections
 * are reset at both ends; stalled ones stay open and carry nothing until they pass again, and then nothing is
 * missing; on slow ones all arrives, late and in order.
 */
import type { Socket, TCPSocketListener } from "bun";
import { freePorts } from "./free-ports.ts";

/** How often a relay looks whether its target listens again. */
const FOLLOW_MS = 10;

/** What happens to bytes and to new connections: refused ones are accepted and reset at once. */
type Mode = "passing" | "stalled" | "refusing";

export interface TcpRelayOptions {
  /** The address to listen on, in place of 127.0.0.1. */
  readonly hostname?: string;
  /**
   * Listens only as long as the target does, on a port that nobody else is given meanwhile: who dials a member that is
   * gone is refused, as without a relay, not taken and reset.
   */
  readonly listensAsTarget?: boolean;
  /** Whether a new connection that begins with `words` (its first bytes, as Latin-1) may go on. */
  readonly admits?: (words: string) => boolean;
  /** Makes who is told of the bytes of a new connection. */
  readonly tap?: () => RelayTap;
}

/** Hears what a relayed connection carries, in order; it must not change the bytes. */
export interface RelayTap {
  onClientBytes(bytes: Uint8Array): void;
  onTargetBytes(bytes: Uint8Array): void;
}

/** One end of a relayed connection, and what it has yet to be given. */
class End {
  readonly connection: RelayedConnection;
  #socket: Socket<End> | null = null;
  #unsent: Uint8Array = new Uint8Array(0);
  #last = false;

  constructor(connection: RelayedConnection) {
    this.connection = connection;
  }

  set socket(socket: Socket<End>) {
    this.#socket = socket;
    this.flush();
  }

  give(bytes: Uint8Array): void {
    this.#unsent = this.#unsent.length === 0 ? bytes : Buffer.concat([this.#unsent, bytes]);
    this.flush();
  }

  /** Nothing more is to be given: the socket is closed behind the last byte. */
  finish(): void {
    this.#last = true;
    this.flush();
  }

  flush(): void {
    if (this.#socket !== null && this.#unsent.length > 0) {
      const written = this.#socket.write(this.#unsent);
      if (written > 0) this.#unsent = this.#unsent.subarray(written);
    }
    if (this.#unsent.length > 0) return this.connection.opposite(this).pause();
    this.connection.opposite(this).resume();
    if (this.#last) this.#socket?.end();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    if (!this.connection.stalled) this.#socket?.resume();
  }

  reset(): void {
    this.#socket?.terminate();
  }
}

class RelayedConnection {
  readonly client = new End(this);
  readonly target = new End(this);
  readonly tap: RelayTap | undefined;
  /** What the client said first; empty before. */
  words = "";
  stalled = false;
  over = false;
  /** What is on its way, oldest first, when all takes its time. */
  #late: (() => void)[] = [];

  constructor(tap: RelayTap | undefined) {
    this.tap = tap;
  }

  opposite(end: End): End {
    return end === this.client ? this.target : this.client;
  }

  /** Does `deliver` after `delayMs`, and never before what came earlier. */
  later(delayMs: number, deliver: () => void): void {
    if (delayMs === 0 && this.#late.length === 0) return deliver();
    this.#late.push(deliver);
    setTimeout(() => {
      if (this.#late[0] !== deliver) return;
      this.#late.shift();
      deliver();
    }, delayMs);
  }

  stall(): void {
    this.stalled = true;
    this.client.pause();
    this.target.pause();
  }

  pass(): void {
    this.stalled = false;
    for (const deliver of this.#late.splice(0)) deliver();
    this.client.flush();
    this.target.flush();
  }

  reset(): void {
    this.over = true;
    this.client.reset();
    this.target.reset();
  }
}

export class TcpRelay implements Disposable {
  /** `host:port` of where new connections are carried to. */
  target: string;
  /** Connections ever accepted, refused ones too. */
  accepted = 0;
  /** Bytes that have come from either side. */
  carriedBytes = 0;
  #listener: TCPSocketListener<End> | null;
  readonly #port: number;
  readonly #listensAsTarget: boolean;
  #looking = false;
  #lookAgain = false;
  #disposed = false;
  readonly #connections = new Set<RelayedConnection>();
  readonly #admits: (words: string) => boolean;
  readonly #tap: (() => RelayTap) | undefined;
  readonly #hostname: string;
  #mode: Mode = "passing";
  #delayMs = 0;

  /** @param target `host:port` of where connections are carried to; it need not listen yet. */
  constructor(target: string, options: TcpRelayOptions = {}) {
    this.target = target;
    this.#admits = options.admits ?? (() => true);
    this.#tap = options.tap;
    this.#hostname = options.hostname ?? "127.0.0.1";
    this.#listensAsTarget = options.listensAsTarget === true;
    this.#listener = this.#listen(this.#listensAsTarget ? freePorts(1)[0]! : 0);
    this.#port = this.#listener.port;
  }

  #listen(port: number): TCPSocketListener<End> {
    return Bun.listen<End>({
      hostname: this.#hostname,
      port,
      socket: {
        ...this.#handlers,
        open: (socket) => this.#accept(socket),
      },
    });
  }

  /** `host:port` to connect to. */
  get endpoint(): string {
    return `${this.#hostname}:${this.#port}`;
  }

  /** Connections that there are now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Resets the connections whose first words `which` chooses; all of them by default. New ones are taken. */
  cut(which: (words: string) => boolean = () => true): void {
    for (const connection of this.#connections) if (which(connection.words)) connection.reset();
  }

  /** From now on nothing is carried; new connections are accepted and hear nothing. */
  stall(): void {
    this.#mode = "stalled";
    for (const connection of this.#connections) connection.stall();
  }

  /** Resets all connections, and from now on each new one. */
  refuse(): void {
    this.#mode = "refusing";
    this.cut();
  }

  /** From now on each byte takes `delayMs`, either way; connections are taken as fast as ever. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Carries everything again, without delay, what was held back first. */
  pass(): void {
    this.#mode = "passing";
    this.#delayMs = 0;
    for (const connection of this.#connections) connection.pass();
  }

  #accept(socket: Socket<End>): void {
    this.accepted++;
    const connection = new RelayedConnection(this.#tap?.());
    socket.data = connection.client;
    if (this.#mode === "refusing") {
      connection.over = true;
      socket.terminate();
      return;
    }
    this.#connections.add(connection);
    connection.client.socket = socket;
    void this.#dial(connection);
    if (this.#mode === "stalled") connection.stall();
  }

  async #dial(connection: RelayedConnection): Promise<void> {
    const [hostname = "", port] = this.target.split(":");
    try {
      const socket = await Bun.connect<End>({
        hostname,
        port: Number(port),
        data: connection.target,
        socket: this.#handlers,
      });
      if (connection.over) socket.terminate();
      else connection.target.socket = socket;
    } catch {
      this.#over(connection);
      connection.reset();
      void this.#followTarget();
    }
  }

  /** Something has ended on the side of the target: while that listens no more, neither does the relay. */
  async #followTarget(): Promise<void> {
    this.#lookAgain = true;
    if (!this.#listensAsTarget || this.#looking) return;
    this.#looking = true;
    while (this.#lookAgain && !this.#disposed) {
      this.#lookAgain = false;
      if (await this.#targetListens()) continue;
      this.#listener?.stop();
      this.#listener = null;
      this.#lookAgain = true;
      await Bun.sleep(FOLLOW_MS);
    }
    this.#looking = false;
    if (!this.#disposed) this.#listener ??= this.#listen(this.#port);
  }

  async #targetListens(): Promise<boolean> {
    const [hostname = "", port] = this.target.split(":");
    const dialled = Bun.connect({ hostname, port: Number(port), socket: { data() {} } });
    return dialled.then(
      (socket) => {
        socket.terminate();
        return true;
      },
      () => false,
    );
  }

  readonly #handlers = {
    data: (socket: Socket<End>, bytes: Uint8Array): void => {
      const { connection } = socket.data;
      this.carriedBytes += bytes.length;
      const fromClient = socket.data === connection.client;
      if (fromClient && connection.words === "") {
        connection.words = Buffer.from(bytes).toString("latin1");
        if (!this.#admits(connection.words)) return connection.reset();
      }
      if (fromClient) connection.tap?.onClientBytes(bytes);
      else connection.tap?.onTargetBytes(bytes);
      connection.later(this.#delayMs, () => connection.opposite(socket.data).give(bytes));
    },
    drain: (socket: Socket<End>): void => socket.data.flush(),
    close: (socket: Socket<End>, error?: Error): void => {
      const { connection } = socket.data;
      this.#over(connection);
      if (socket.data === connection.target) void this.#followTarget();
      if (error !== undefined) return connection.reset();
      connection.later(this.#delayMs, () => connection.opposite(socket.data).finish());
    },
    error(): void {},
  };

  #over(connection: RelayedConnection): void {
    connection.over = true;
    this.#connections.delete(connection);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#listener?.stop(true);
    this.cut();
  }
}
