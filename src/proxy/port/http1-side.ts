/**
 * The HTTP/1.1 side of the port: `node:http` parses, Connect's Node adapter serves calls in JSON, gRPC-Web and
 * Connect's own protocol, everything else goes to the pages.
 *
 * A request that the parser or the rules refuse is answered, and its connection is closed: nothing that lies behind it
 * is taken for another one.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Socket } from "bun";
import { collectGarbage } from "../../base/burst-garbage.ts";
import { isGrpcContentType } from "../../grpc/call-head.ts";
import { inflatingFor } from "../limited-gzip.ts";
import { Http1Downstream } from "./http1-downstream.ts";
import { HTTP1_LIMITS } from "./http1-limits.ts";
import { requestProblem } from "./http1-rules.ts";
import type { Downstreams } from "./http2-downstream.ts";
import { webPageProblem } from "./web-pages.ts";
import { answerPageOverHttp1 } from "./page-answer.ts";

export class Http1Side {
  readonly #server: Server;
  readonly #shared: Downstreams;
  readonly #serveCall: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #downstreams = new WeakMap<Duplex, Http1Downstream>();
  /** Requests since garbage was last collected. */
  #requests = 0;

  constructor(shared: Downstreams) {
    const { router, pages } = shared;
    this.#shared = shared;
    this.#serveCall = connectNodeAdapter({
      ...router.connectOptions(),
      routes: (routes) => {
        router.routes(routes);
      },
      fallback: (request, response) => {
        void answerPageOverHttp1(pages, request as IncomingMessage, response as ServerResponse);
      },
    });
    this.#server = createServer({ maxHeaderSize: HTTP1_LIMITS.headerBytesMax });
    this.#server.on("request", (request, response) => this.#onRequest(request, response));
    this.#server.on("checkExpectation", (request, response) => {
      this.#refuse(request, response, 417, "an expectation other than 100-continue");
    });
    this.#server.on("connect", (request, socket) =>
      this.#onUnparsed(socket, BAD_REQUEST, `${request.method} is not served`),
    );
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      this.#onUnparsed(socket, statusOf(error.code), error.message);
    });
  }

  /** Takes over a connection whose first bytes are `first`. `last`: its first request is its last. */
  accept(socket: Socket<unknown>, first: Uint8Array, last: boolean): Http1Downstream {
    const connection = new Http1Downstream(socket, this.#shared);
    if (last) connection.drain();
    this.#downstreams.set(connection.duplex, connection);
    this.#server.emit("connection", connection.duplex);
    connection.onData(first);
    return connection;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.#countRequest();
    const problem = requestProblem(request);
    if (problem !== "") {
      this.#refuse(request, response, 400, problem);
      return;
    }
    const ofPage = this.#webPageProblem(request);
    if (ofPage !== "") {
      this.#refuse(request, response, 403, ofPage);
      return;
    }
    const connection = this.#downstreams.get(request.socket);
    if (connection?.onExchange(request, response) === false) return;
    if (request.headers.upgrade !== undefined) {
      // We stay with HTTP/1.1 (RFC 9110 §7.8); what lies behind the request may be meant as another protocol.
      response.setHeader("connection", "close");
      connection?.lastExchange();
    }
    if (isGrpcContentType(request.headers["content-type"])) refuseGrpc(response);
    else if (connection === undefined) this.#serveCall(request, response);
    else inflatingFor(connection, () => this.#serveCall(request, response));
  }

  /** Left to itself the runtime lets the garbage of HTTP/1.1 requests grow: measured, to twice and three times as much. */
  #countRequest(): void {
    if (++this.#requests < REQUESTS_OF_A_COLLECTION) return;
    this.#requests = 0;
    collectGarbage();
  }

  /** Only calls do something: pages tell what they tell to everybody. */
  #webPageProblem({ url = "", headers }: IncomingMessage): string {
    if (headers.origin === undefined) return "";
    const isCall = this.#shared.router.universalHandler(url.split("?", 1)[0]!) !== undefined;
    return isCall ? webPageProblem(headers.origin, headers.host ?? "") : "";
  }

  /** Answers a request that is not served, and closes its connection. */
  #refuse(request: IncomingMessage, response: ServerResponse, status: number, problem: string): void {
    const connection = this.#downstreams.get(request.socket);
    if (connection?.onExchange(request, response) === false) return;
    connection?.lastExchange();
    this.#logRefusal(connection, problem);
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8", connection: "close" });
    response.end(`etcdproxy: ${problem}\n`);
  }

  /** Answers what never became a request, and closes its connection. */
  #onUnparsed(socket: Duplex, status: string, problem: string): void {
    const connection = this.#downstreams.get(socket);
    if (connection?.closing === true) return;
    connection?.lastExchange();
    if (status !== BAD_REQUEST) connection?.limitReached("headerList", problem);
    else this.#logRefusal(connection, problem);
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }

  #logRefusal(connection: Http1Downstream | undefined, reason: string): void {
    this.#shared.log.write("warn", "HTTP/1.1", "refused a client's HTTP/1.1 request", {
      peer: connection?.peer,
      reason,
    });
  }
}

/** They take a second or so at the most that one client makes; a collection 10 to 20 ms. */
const REQUESTS_OF_A_COLLECTION = 4_000;

const BAD_REQUEST = "400 Bad Request";

/** The answer to what the parser has refused, by its error's code. */
function statusOf(code: string | undefined): string {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return "431 Request Header Fields Too Large";
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return "413 Content Too Large";
    default:
      return BAD_REQUEST;
  }
}

/** gRPC needs trailers, which HTTP/1.1 clients of it do not read. */
function refuseGrpc(response: ServerResponse): void {
  response.writeHead(505, { "content-type": "text/plain; charset=utf-8", connection: "close" });
  response.end("gRPC is served over HTTP/2\n");
}
