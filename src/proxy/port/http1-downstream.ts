/**
 * The HTTP/1.1 side of the port: `node:http` parses, Connect's Node adapter serves calls in JSON, gRPC-Web and
 * Connect's own protocol, everything else goes to the pages.
 *
 * Bun does not enforce `node:http`'s time-outs on connections that are handed over, so each connection is held
 * to its own: it may be silent for a while only, longer while an answer is under way.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Socket } from "bun";
import { isGrpcContentType } from "../../grpc/call-head.ts";
import { SocketDuplex } from "../../net/socket-duplex.ts";
import { type Pages, servePage } from "../pages/page.ts";
import type { CallRoutes } from "./call-routes.ts";

/** How long a client may keep us waiting: for the rest of a request, or for its next one. */
const SILENCE_MS = 60_000;
/** Octets of a request's header section. */
const HEADER_BYTES_MAX = 16 * 1024;

export class Http1Side {
  readonly #server: Server;
  readonly #downstreams = new WeakMap<Duplex, Http1Downstream>();

  constructor(router: CallRoutes, pages: Pages) {
    const connect = connectNodeAdapter({
      ...router.connectOptions(),
      routes: (routes) => {
        router.routes(routes);
      },
      fallback: (request, response) => {
        void answerPage(pages, request as IncomingMessage, response as ServerResponse);
      },
    });
    this.#server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
      this.#downstreams.get(request.socket)?.onExchange(request, response);
      if (isGrpcContentType(request.headers["content-type"])) refuseGrpc(response);
      else connect(request, response);
    });
  }

  /** Takes over a connection whose first bytes are `first`. */
  accept(socket: Socket<unknown>, first: Uint8Array): Http1Downstream {
    const connection = new Http1Downstream(socket);
    this.#downstreams.set(connection.duplex, connection);
    this.#server.emit("connection", connection.duplex);
    connection.onData(first);
    return connection;
  }
}

export class Http1Downstream {
  readonly duplex: SocketDuplex;
  readonly #socket: Socket<unknown>;
  readonly #silence: ReturnType<typeof setTimeout>;
  /** The request that is being received or answered. */
  #exchange: { readonly request: IncomingMessage; readonly response: ServerResponse } | null = null;

  constructor(socket: Socket<unknown>) {
    this.#socket = socket;
    this.duplex = new SocketDuplex(socket);
    this.duplex.on("error", () => {}); // The close that follows is what matters.
    this.#silence = setTimeout(() => this.#onSilence(), SILENCE_MS);
  }

  onExchange(request: IncomingMessage, response: ServerResponse): void {
    this.#exchange = { request, response };
  }

  /** A client that waits for its answer may be silent for as long as that takes. */
  #onSilence(): void {
    const exchange = this.#exchange;
    const answering = exchange !== null && exchange.request.complete && !exchange.response.writableFinished;
    if (answering) this.#silence.refresh();
    else this.#socket.terminate();
  }

  onData(chunk: Uint8Array): void {
    this.#silence.refresh();
    this.duplex.socketData(chunk);
  }

  onDrain(): void {
    this.#silence.refresh();
    this.duplex.socketDrained();
  }

  onPeerEnd(): void {
    this.duplex.socketEnded();
  }

  onClose(error: Error | undefined): void {
    clearTimeout(this.#silence);
    this.duplex.socketClosed(error);
  }
}

/** gRPC needs trailers, which HTTP/1.1 clients of it do not read. */
function refuseGrpc(response: ServerResponse): void {
  response.writeHead(505, { "content-type": "text/plain; charset=utf-8", connection: "close" });
  response.end("gRPC is served over HTTP/2\n");
}

async function answerPage(pages: Pages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const page = await servePage(pages, request.method ?? "GET", request.url ?? "/");
  response.writeHead(page.status, { "content-type": page.contentType, "content-length": page.body.length });
  if (request.method === "HEAD") response.end();
  else response.end(page.body);
}
