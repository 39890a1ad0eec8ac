// A plain TCP peer, at either end of the gateway: it sends, receives, half-closes and resets as a test says.
//
// It keeps what it received as a count and a digest, and the bytes only while they are few.
import type { Socket } from "bun";
import { until } from "../net/until.ts";

const TEXT_BYTES_MAX = 4_096;

export class TcpPeer {
  socket: Socket<TcpPeer> | undefined;
  text = "";
  receivedBytes = 0;
  /** Bytes the system has taken from `send`. */
  sentBytes = 0;
  /** The other side has half-closed. */
  ended = false;
  closed: "no" | "orderly" | "reset" = "no";
  readonly #digest = new Bun.CryptoHasher("sha1");
  #queue: { bytes: Uint8Array; repeat: number } | undefined;
  #offset = 0;
  #readPauseMs = 0;

  get digest(): string {
    return this.#digest.copy().digest("hex");
  }

  /** Sends `bytes`, `repeat` times over, as fast as the other side takes them. */
  send(bytes: string | Uint8Array, repeat = 1): void {
    this.#queue = { bytes: typeof bytes === "string" ? Buffer.from(bytes) : bytes, repeat };
    this.#offset = 0;
    this.flush();
  }

  flush(): void {
    while (this.#queue !== undefined && this.socket !== undefined) {
      const { bytes } = this.#queue;
      const written = this.socket.write(bytes, this.#offset, bytes.length - this.#offset);
      if (written <= 0) return;
      this.sentBytes += written;
      this.#offset += written;
      if (this.#offset < bytes.length) return;
      this.#offset = 0;
      this.#queue.repeat--;
      if (this.#queue.repeat === 0) this.#queue = undefined;
    }
  }

  get allSent(): boolean {
    return this.#queue === undefined;
  }

  halfClose(): void {
    this.socket?.shutdown();
  }

  reset(): void {
    this.socket?.terminate();
  }

  /** Reads one chunk at a time from now on, with a pause behind each. */
  readSlowly(pauseMs: number): void {
    this.#readPauseMs = pauseMs;
  }

  receive(chunk: Uint8Array): void {
    this.receivedBytes += chunk.length;
    this.#digest.update(chunk);
    if (this.text.length < TEXT_BYTES_MAX)
      this.text += Buffer.from(chunk.subarray(0, TEXT_BYTES_MAX)).toString();
    if (this.#readPauseMs === 0) return;
    this.socket?.pause();
    setTimeout(() => this.socket?.resume(), this.#readPauseMs);
  }
}

const handlers = {
  open(socket: Socket<TcpPeer>): void {
    socket.data.socket = socket;
  },
  data(socket: Socket<TcpPeer>, chunk: Uint8Array): void {
    socket.data.receive(chunk);
  },
  drain(socket: Socket<TcpPeer>): void {
    socket.data.flush();
  },
  end(socket: Socket<TcpPeer>): void {
    socket.data.ended = true;
  },
  close(socket: Socket<TcpPeer>, error?: Error): void {
    socket.data.closed = error === undefined ? "orderly" : "reset";
    // Bun closes a half-closed socket when its peer ends too, without telling the end apart.
    if (error === undefined) socket.data.ended = true;
  },
};

/** A client that is connected to `port` on loopback. */
export async function connectClient(port: number, hostname = "127.0.0.1"): Promise<TcpPeer> {
  const peer = new TcpPeer();
  await Bun.connect<TcpPeer>({ hostname, port, allowHalfOpen: true, data: peer, socket: handlers });
  return peer;
}

/** What a test sees of a member: a server that keeps each of its clients. */
export interface Member {
  readonly port: number;
  readonly clients: TcpPeer[];
  /** Clients that are connected now. */
  open(): number;
  /** The client that connected as number `index`, once it has. */
  client(index: number): Promise<TcpPeer>;
  /** Listens no more and resets its clients, as a killed process does. */
  kill(): void;
}

/** Starts a member that answers each client with its name, if it has one. */
export function startMember(name = "", port = 0): Member {
  const clients: TcpPeer[] = [];
  const server = Bun.listen<TcpPeer>({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      ...handlers,
      open(socket) {
        const peer = new TcpPeer();
        peer.socket = socket;
        socket.data = peer;
        clients.push(peer);
        if (name !== "") socket.write(name);
      },
    },
  });
  return {
    port: server.port,
    clients,
    open: () => clients.filter(({ closed }) => closed === "no").length,
    async client(index) {
      await until(() => clients.length > index);
      const client = clients[index];
      if (client === undefined) throw new Error(`there is no client ${index}`);
      return client;
    },
    kill() {
      server.stop(false);
      for (const client of clients) client.reset();
    },
  };
}
