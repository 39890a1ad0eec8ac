/**
 * A listener for pages and nothing else, over `node:http`.
 *
 * Stands between a product that has no HTTP of its own and those who read its health and metrics. Each connection is good
 * for one request, which has a header section of 8 KiB at most and no body, and everything on it, the reading of the answer
 * included, is over within ten seconds. So nobody can make it hold more than a few kilobytes for each of its
 * `CONNECTIONS_MAX` connections, nor keep others from one for long.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "bun";
import type { Address } from "../net/address.ts";
import { listen, type Listener } from "../net/listen.ts";
import { SocketDuplex, type SocketDuplexOwner } from "../net/socket-duplex.ts";
import { type Pages, servePage } from "./page.ts";

export interface PagesServerOptions {
  readonly address: Address;
  /** The flag that the address is from, for errors. */
  readonly flag: string;
  readonly pages: Pages;
  /** From a connection's accept to its end, in milliseconds; for tests. */
  readonly connectionMsMax?: number;
}

/** Those who read pages are few. */
export const PAGES_CONNECTIONS_MAX = 64;
const HEADER_BYTES_MAX = 8 * 1024;
/** A page is made within 3 s; the rest is for a slow reader. Against requests that drip (slowloris). */
const CONNECTION_MS_MAX = 10_000;
/** Bytes the parser is given at once, which may be many small requests: it is not to see those behind the first. */
const PIECE_BYTES = 1024;

export class PagesServer {
  readonly #listener: Listener;
  readonly #http: Server;
  readonly #live = new Set<PagesConnection>();

  /** Listens. @throws ListenError */
  constructor({ address, flag, pages, connectionMsMax = CONNECTION_MS_MAX }: PagesServerOptions) {
    this.#http = createServer({ maxHeaderSize: HEADER_BYTES_MAX });
    this.#http.on("request", (request, response) => void answer(pages, request, response));
    this.#http.on("clientError", (error: NodeJS.ErrnoException, socket) => refuse(error, socket));
    this.#http.on("connect", (_request, socket) => refuse(undefined, socket));
    this.#http.on("upgrade", (_request, socket) => refuse(undefined, socket));
    this.#listener = listen<PagesConnection>({
      address,
      flag,
      connectionsMax: PAGES_CONNECTIONS_MAX,
      handlers: {
        open: (socket) => {
          const connection = new PagesConnection(socket, connectionMsMax);
          socket.data = connection;
          if (this.#live.size >= PAGES_CONNECTIONS_MAX - 1) this.#endOldestIdle();
          this.#live.add(connection);
          this.#http.emit("connection", connection);
        },
        data(socket, chunk) {
          socket.data.received(chunk);
        },
        drain(socket) {
          socket.data.socketDrained();
        },
        end(socket) {
          socket.data.ended();
        },
        close: (socket, error) => {
          this.#live.delete(socket.data);
          socket.data.over(error);
        },
        error(socket) {
          socket.terminate();
        },
      },
    });
  }

  /** The address in use: its port is the real one where 0 was asked for. */
  get address(): Address {
    return this.#listener.address;
  }

  /** There is room for whoever asks, however many say nothing. */
  #endOldestIdle(): void {
    for (const connection of this.#live) {
      if (connection.hasAsked) continue;
      connection.terminate(); // Its end would wait for the client's.
      return;
    }
  }

  /** Stops listening and closes every connection. */
  close(): void {
    this.#listener.stop();
    for (const connection of this.#live) connection.destroy();
  }
}

const DEAF_OWNER: SocketDuplexOwner = { onWanted() {}, onWritten() {}, onBlocked() {} };

class PagesConnection extends SocketDuplex {
  /** Ends it, whatever is under way. */
  readonly terminate: () => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  #asked = false;

  constructor(socket: Socket<unknown>, msMax: number) {
    super(socket, DEAF_OWNER);
    this.on("error", () => {}); // The close that follows is what matters.
    this.terminate = () => socket.terminate();
    this.#timer = setTimeout(this.terminate, msMax);
    this.#timer.unref();
  }

  get hasAsked(): boolean {
    return this.#asked;
  }

  /** What comes behind the first request is not looked at. */
  received(chunk: Uint8Array): void {
    for (let start = 0; start < chunk.length && !this.#asked; start += PIECE_BYTES) {
      this.socketData(chunk.subarray(start, start + PIECE_BYTES));
    }
  }

  /** The client sends no more: it may still wait for its answer. */
  ended(): void {
    if (!this.#asked) this.socketEnded();
  }

  /** False when there was a request on this connection before, or what could have been one. */
  ask(): boolean {
    if (this.#asked) return false;
    this.#asked = true;
    return true;
  }

  over(error: Error | undefined): void {
    clearTimeout(this.#timer);
    this.socketClosed(error);
  }
}

async function answer(pages: Pages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!firstOf(request.socket)) return;
  const page = await servePage(pages, request.method ?? "GET", request.url ?? "/");
  response.writeHead(page.status, {
    ...page.headers,
    "content-type": page.contentType,
    "content-length": page.body.length,
    connection: "close",
  });
  if (request.method === "HEAD") response.end();
  else response.end(page.body);
}

/** Answers what is no request for a page. */
function refuse(error: NodeJS.ErrnoException | undefined, socket: Duplex): void {
  if (!firstOf(socket)) return;
  const tooLong = error?.code === "HPE_HEADER_OVERFLOW";
  const status = tooLong ? "431 Request Header Fields Too Large" : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

function firstOf(socket: Duplex): boolean {
  return socket instanceof PagesConnection && socket.ask();
}
