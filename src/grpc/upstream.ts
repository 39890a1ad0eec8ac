/**
 * One HTTP/2 connection to one member: from the dial, through its life, to its end.
 *
 * It is ready when the member's SETTINGS have come, not when the kernel has accepted: a stopped process
 * accepts too. Tells its owner, the channel, exactly one of `onReady` and `onFailed` first, and `onLost` once after
 * `onReady`.
 */
import type { Socket } from "bun";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { ClientConnection, type ClientConnectionHandler } from "../http2/client-connection.ts";
import type { ConnectionEnd, ConnectionOptions } from "../http2/connection-handler.ts";
import { errorCodeName } from "../http2/error-code.ts";
import type { Http2LimitName } from "../http2/limits.ts";
import type { Dial, Dialer } from "../net/dial.ts";
import type { DialError, DialFailure } from "../net/dial-error.ts";
import type { DialTls } from "../net/tls.ts";
import { ClientCall, type ClientCallHandler } from "./client-call.ts";
import { Http2Socket } from "./http2-socket.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import type { MemberCall, OpenMemberCall } from "./member-call.ts";
import type { MemberKeepalive, MemberKeepaliveRun } from "./member-keepalive.ts";
import type { MemberLoad } from "./member-load.ts";

export interface UpstreamOwner {
  onReady(upstream: Upstream): void;
  /** The dial failed (`failure` says how), or the member did not speak HTTP/2 in time (null). */
  onFailed(upstream: Upstream, reason: string, failure: DialFailure | null): void;
  /** The member takes no more calls on this connection; those under way go on. */
  onGoaway(upstream: Upstream, reason: string): void;
  /** The connection has ended after it was ready. `expected`: after GOAWAY or `retire`, without a call left. */
  onLost(upstream: Upstream, reason: string, expected: boolean): void;
  /** A call has ended: where the member limits them, another may begin. */
  onCallEnded(upstream: Upstream): void;
  /** The member has reached a limit, which has cost it a call or the connection. */
  onLimit(upstream: Upstream, limit: Http2LimitName, reason: string): void;
}

export interface UpstreamOptions {
  /** How long the member may take to send its SETTINGS once it has accepted, in milliseconds. */
  readonly readyTimeoutMs: number;
  readonly connection: ConnectionOptions;
  /** What a dial to an https endpoint shows and demands now. */
  readonly tls: (serverName: string) => DialTls;
  readonly openCall: OpenMemberCall;
  /** Without it a silent connection is taken for a live one. */
  readonly keepalive?: MemberKeepalive | undefined;
  /** Told of the connections that there are. */
  readonly load: MemberLoad;
}

/** What the dialer's sockets carry. */
export type UpstreamSocket = Http2Socket | null;

export class Upstream implements ClientConnectionHandler {
  readonly endpoint: Endpoint;
  connection!: ClientConnection;
  /** Hears of it from now on. */
  owner: UpstreamOwner;
  readonly #options: UpstreamOptions;
  readonly #firstStreamId: number;
  readonly #dial: Dial;
  #socket: Http2Socket | null = null;
  #state: "dialling" | "connecting" | "ready" | "over" = "dialling";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #keepalive: MemberKeepaliveRun | undefined;

  constructor(
    endpoint: Endpoint,
    dialer: Dialer<UpstreamSocket>,
    options: UpstreamOptions,
    owner: UpstreamOwner,
    firstStreamId: number,
  ) {
    this.endpoint = endpoint;
    this.owner = owner;
    this.#options = options;
    this.#firstStreamId = firstStreamId;
    const { hostname, port, name, scheme, serverName = hostname } = endpoint;
    const tls = scheme === "https" ? options.tls(serverName) : undefined;
    this.#dial = dialer.start({ hostname, port, name, tls }, null, {
      dialled: (socket) => this.#onDialled(socket),
      dialFailed: (error: DialError) => this.#fail(error.detail, error.reason),
    });
  }

  get ready(): boolean {
    return this.#state === "ready";
  }

  /** True when a call can begin on it now. */
  get canOpen(): boolean {
    return this.#state === "ready" && this.connection.canOpen;
  }

  /** Opens a call of the method at `path`, while `canOpen` holds: see `OpenMemberCall`. */
  openCall(
    path: string,
    fields: readonly HeaderField[],
    receiveBytesMax: number,
    handler: ClientCallHandler,
  ): MemberCall {
    return this.#options.openCall(this, path, fields, receiveBytesMax, handler);
  }

  /** Tells the calls that are under way that the channel goes on at another member. */
  tellOfLeaving(reason: string): void {
    if (this.#state !== "ready") return;
    for (const { handler } of [...this.connection.streams.all()]) {
      if (handler instanceof ClientCall) handler.memberLeft(reason);
    }
  }

  /** Takes no more calls and ends with the last one; a connection that is not up yet ends at once. */
  retire(): void {
    if (this.#state === "ready") this.connection.retire();
    else this.abandon();
  }

  /** Ends at once. The owner hears nothing of it; calls under way fail, for this reason. */
  abandon(reason = "connection given up"): void {
    const before = this.#state;
    this.#end();
    if (before === "dialling") this.#dial.abandon();
    else if (before !== "over") this.connection.transportClosed(reason);
    this.#socket?.finish();
  }

  #onDialled(socket: Socket<UpstreamSocket>): void {
    if (this.#state === "over") {
      socket.terminate();
      return;
    }
    this.#state = "connecting";
    this.connection = new ClientConnection(this.#options.connection, this, this.#firstStreamId);
    this.#socket = new Http2Socket(socket, this.connection, this.#options.load.bytes);
    this.#options.load.begin(this);
    socket.data = this.#socket;
    this.#timer = setTimeout(
      () => this.#fail("no SETTINGS in time: it accepts but does not answer"),
      this.#options.readyTimeoutMs,
    );
    this.#socket.flush();
  }

  #end(): void {
    this.#state = "over";
    this.#options.load.end(this);
    clearTimeout(this.#timer);
    this.#keepalive?.stop();
  }

  #fail(reason: string, failure: DialFailure | null = null): void {
    if (this.#state === "over") return;
    this.abandon();
    this.owner.onFailed(this, reason, failure);
  }

  // From the connection.

  onOutput(): void {
    this.#socket?.onOutput();
  }

  onOutputLarge(): void {
    this.#socket?.onOutputLarge();
  }

  onReady(): void {
    if (this.#state !== "connecting") return;
    this.#state = "ready";
    clearTimeout(this.#timer);
    this.#keepalive = this.#options.keepalive?.start(this.endpoint, this.connection);
    this.owner.onReady(this);
  }

  onGoaway(code: number, debugText: string): void {
    if (this.#state !== "ready") return;
    this.#keepalive?.onGoaway(code, debugText);
    this.owner.onGoaway(this, `GOAWAY ${errorCodeName(code)}${debugText === "" ? "" : ` ${debugText}`}`);
  }

  onStreamEnded(): void {
    this.owner.onCallEnded(this);
  }

  onAwake(): void {
    this.#keepalive?.awake();
  }

  onLimit(limit: Http2LimitName, reason: string): void {
    this.owner.onLimit(this, limit, reason);
  }

  onEnd(end: ConnectionEnd): void {
    if (end.limit !== null) this.onLimit(end.limit, end.message);
    const before = this.#state;
    this.#end();
    this.#socket?.finish();
    if (before === "connecting") this.owner.onFailed(this, end.message, null);
    else if (before === "ready") this.owner.onLost(this, end.message, end.cause === "finished");
  }
}
