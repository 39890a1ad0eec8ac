/**
 * How connections of HTTP/2 clients are kept alive: those of clients that vanished end.
 */
import type { DeadlineTimer } from "../../base/deadline-wheel.ts";
import { KeepaliveRun } from "../../grpc/keepalive-run.ts";
import type { Connection } from "../../http2/connection.ts";

export interface ClientKeepaliveOptions {
  /** The least time between two PINGs of a client that gets nothing, in milliseconds; 0: none is too short. */
  readonly pingIntervalMinMs: number;
  /** After `timeMs` in which nothing came a client is asked, and has `timeoutMs` to send something; null: never. */
  readonly pings: { readonly timeMs: number; readonly timeoutMs: number } | null;
}

/** Clients count no PINGs of a server's. */
const IDLE_PINGS_MAX = Number.POSITIVE_INFINITY;

export class ClientKeepalive {
  readonly #pings: ClientKeepaliveOptions["pings"];
  readonly #timer: DeadlineTimer;

  constructor(pings: ClientKeepaliveOptions["pings"], timer: DeadlineTimer) {
    this.#pings = pings;
    this.#timer = timer;
  }

  /** Keeps a client's connection alive; null: it is left alone. */
  start(connection: Connection): KeepaliveRun | null {
    if (this.#pings === null) return null;
    return new KeepaliveRun(connection, { ...this.#pings, idlePingsMax: IDLE_PINGS_MAX }, this.#timer);
  }
}
