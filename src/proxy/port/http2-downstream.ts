/**
 * A client's HTTP/2 connection: each request becomes a call, and is sent on its way by what it is.
 *
 * gRPC goes to the router's lanes, another protocol on a method's path to Connect, the rest to the pages.
 */
import type { Socket } from "bun";
import type { DeadlineTimer } from "../../base/deadline-wheel.ts";
import type { ByteCounts } from "../../grpc/byte-counts.ts";
import { CallHead, isGrpcContentType } from "../../grpc/call-head.ts";
import { type Http2CallOwner, Http2ServerCall } from "../../grpc/http2-server-call.ts";
import { Http2Socket } from "../../grpc/http2-socket.ts";
import type { KeepaliveRun } from "../../grpc/keepalive-run.ts";
import type { CallLimitName } from "../../grpc/server-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { ConnectionEnd, ConnectionOptions } from "../../http2/connection-handler.ts";
import { ErrorCode, errorCodeName } from "../../http2/error-code.ts";
import type { RequestHead } from "../../http2/header-rules.ts";
import type { Http2LimitName } from "../../http2/limits.ts";
import { ServerConnection, type ServerConnectionHandler } from "../../http2/server-connection.ts";
import type { Stream } from "../../http2/stream.ts";
import type { LimitLog } from "../../observe/limit-log.ts";
import type { RateLimitedLog } from "../../observe/rate-limited-log.ts";
import type { Pages } from "../../observe/page.ts";
import type { CallRoutes } from "./call-routes.ts";
import type { ClientKeepalive } from "./client-keepalive.ts";
import { answerPageOverHttp2, refuseOverHttp2 } from "./page-answer.ts";
import { webPageProblem } from "./web-pages.ts";

/** What every connection of the port shares. */
export interface Downstreams {
  readonly router: CallRoutes;
  readonly pages: Pages;
  readonly deadlines: DeadlineTimer;
  readonly http2: ConnectionOptions;
  /** Of all connections together. */
  readonly bytes: ByteCounts;
  readonly keepalive: ClientKeepalive;
  readonly log: RateLimitedLog;
  /** Told of each limit that a client reaches. */
  readonly limits: LimitLog;
}

/** What a call under way costs besides its bytes, about: it counts for the process's buffer limit. */
const CALL_BYTES = 1024;
/** The same of a call in Connect's hands, or of a page that is being made. */
const OTHER_CALL_BYTES = 8 * 1024;

interface CallKind {
  readonly head: CallHead;
  readonly grpc: boolean;
}

export class Http2Downstream implements ServerConnectionHandler, Http2CallOwner {
  readonly connection: ServerConnection;
  readonly socket: Http2Socket;
  readonly deadlines: DeadlineTimer;
  readonly #shared: Downstreams;
  readonly #keepalive: KeepaliveRun | null;
  #lastHead: RequestHead | null = null;
  #lastKind: CallKind = NO_KIND;

  constructor(socket: Socket<unknown>, shared: Downstreams) {
    this.#shared = shared;
    this.deadlines = shared.deadlines;
    this.connection = new ServerConnection(shared.http2, this);
    this.socket = new Http2Socket(socket, this.connection, shared.bytes);
    this.socket.onOutput();
    this.#keepalive = shared.keepalive.start(this.connection);
  }

  /** The client's address. */
  get peer(): string {
    return this.socket.peer;
  }

  /** Ends the connection, and each gRPC call on it with `status`: so its client knows that it was no accident. */
  cut(status: Status): void {
    for (const { handler } of this.connection.streams.all()) {
      if (handler instanceof Http2ServerCall && handler.grpc) handler.giveUp(status, status.message);
    }
    this.connection.fail(ErrorCode.NO_ERROR, "stopped");
  }

  onRequest(stream: Stream, head: RequestHead, endStream: boolean): void {
    const kind = this.#kindOf(head);
    // Before anybody serves it: the buffers may be full, and this the call that is given up.
    stream.retain(kind.grpc ? CALL_BYTES : OTHER_CALL_BYTES);
    if (stream.closed) return;
    const call = new Http2ServerCall(stream, kind.head, this, kind.grpc);
    stream.handler = call;
    if (!kind.grpc) this.#serveOther(call, head);
    else if (kind.head.problem === "") this.#shared.router.serve(call);
    else call.finishWithStatus({ code: Code.INTERNAL, message: kind.head.problem });
    if (endStream) call.receiver.onRequestEnd();
  }

  #serveOther(call: Http2ServerCall, head: RequestHead): void {
    const path = head.path.split("?", 1)[0]!;
    const { router } = this.#shared;
    const handler = router.universalHandler(path);
    if (handler !== undefined) {
      const problem = webPageProblem(call.head.value("origin"), head.authority);
      if (problem === "") router.serveByConnect(call, head.method, handler);
      else this.#refuse(call, problem);
    } else answerPageOverHttp2(this.#shared.pages, call, head);
  }

  #refuse(call: Http2ServerCall, reason: string): void {
    this.#shared.log.write("warn", "web page", "refused a client's HTTP/2 request", {
      peer: this.socket.peer,
      reason,
    });
    refuseOverHttp2(call, 403, reason);
  }

  /** Repeated header sections are one object, so a client's calls are nearly always of the kind of its last. */
  #kindOf(head: RequestHead): CallKind {
    if (head === this.#lastHead) return this.#lastKind;
    const callHead = CallHead.ofRequest(head);
    this.#lastHead = head;
    this.#lastKind = {
      head: callHead,
      grpc: head.method === "POST" && isGrpcContentType(callHead.value("content-type")),
    };
    return this.#lastKind;
  }

  // From the connection.

  onOutput(): void {
    this.socket.onOutput();
  }

  onOutputLarge(): void {
    this.socket.onOutputLarge();
  }

  onEnd(end: ConnectionEnd): void {
    this.#keepalive?.stop();
    if (this.#keepalive?.gaveUp === true) {
      this.#shared.log.write("info", "vanished", "gave up a client that does not answer", {
        peer: this.socket.peer,
        reason: end.message,
      });
    }
    if (end.cause === "self" && end.code !== ErrorCode.NO_ERROR) {
      const code = errorCodeName(end.code);
      if (end.limit !== null) this.#limitReached(end.limit, end.message, { code });
      else {
        // By the code: what the message tells is up to the client.
        this.#shared.log.write("warn", `ended ${code}`, "ended a client's connection", {
          peer: this.socket.peer,
          code,
          reason: end.message,
        });
      }
    }
    this.socket.finish(end.cause === "finished");
  }

  onLimit(limit: Http2LimitName, reason: string): void {
    this.#limitReached(limit, reason);
  }

  // From its calls.

  onCallLimit(limit: CallLimitName, reason: string): void {
    this.#limitReached(limit, reason);
  }

  #limitReached(limit: string, reason: string, fields?: { readonly code: string }): void {
    this.#shared.limits.reached("client", limit, this.socket.peer, { reason, ...fields });
  }
}

const NO_KIND: CallKind = { head: new CallHead("", []), grpc: false };
