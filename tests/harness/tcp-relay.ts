/**
 * A TCP relay on loopback between two processes, which a test can cut, stall, or close to newcomers.
 *
 * It stands where a network stands: one side connects to `endpoint` and is carried to `target`. Cut connections
 * are reset at both ends; stalled ones stay open and carry nothing until they pass again, and then nothing is
 * missing.
 */
import type { Socket, TCPSocketListener } from "bun";

/** What happens to bytes and to new connections: refused ones are accepted and reset at once. */
type Mode = "passing" | "stalled" | "refusing";

export interface TcpRelayOptions {
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

  constructor(tap: RelayTap | undefined) {
    this.tap = tap;
  }

  opposite(end: End): End {
    return end === this.client ? this.target : this.client;
  }

  stall(): void {
    this.stalled = true;
    this.client.pause();
    this.target.pause();
  }

  pass(): void {
    this.stalled = false;
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
  readonly #listener: TCPSocketListener<End>;
  readonly #connections = new Set<RelayedConnection>();
  readonly #admits: (words: string) => boolean;
  readonly #tap: (() => RelayTap) | undefined;
  #mode: Mode = "passing";

  /** @param target `host:port` of where connections are carried to; it need not listen yet. */
  constructor(target: string, options: TcpRelayOptions = {}) {
    this.target = target;
    this.#admits = options.admits ?? (() => true);
    this.#tap = options.tap;
    this.#listener = Bun.listen<End>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        ...this.#handlers,
        open: (socket) => this.#accept(socket),
      },
    });
  }

  /** `host:port` to connect to. */
  get endpoint(): string {
    return `127.0.0.1:${this.#listener.port}`;
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

  /** Carries everything again, what was held back first. */
  pass(): void {
    this.#mode = "passing";
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
    }
  }

  readonly #handlers = {
    data: (socket: Socket<End>, bytes: Uint8Array): void => {
      const { connection } = socket.data;
      const fromClient = socket.data === connection.client;
      if (fromClient && connection.words === "") {
        connection.words = Buffer.from(bytes).toString("latin1");
        if (!this.#admits(connection.words)) return connection.reset();
      }
      if (fromClient) connection.tap?.onClientBytes(bytes);
      else connection.tap?.onTargetBytes(bytes);
      connection.opposite(socket.data).give(bytes);
    },
    drain: (socket: Socket<End>): void => socket.data.flush(),
    close: (socket: Socket<End>, error?: Error): void => {
      const { connection } = socket.data;
      this.#over(connection);
      if (error === undefined) connection.opposite(socket.data).finish();
      else connection.reset();
    },
    error(): void {},
  };

  #over(connection: RelayedConnection): void {
    connection.over = true;
    this.#connections.delete(connection);
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    this.cut();
  }
}
