/**
 * One client of the gateway: dials members until one answers, then is only a pipe.
 *
 *      dialling ──dialled──> piping ──finished, broken──> closed
 *          │  └─failed: the next endpoint, each at most once
 *          └─ client gone, or no endpoint left ──> closed
 *
 * Stands between the accepted socket and the members. The client's first bytes wait in the pipe while it dials. A dial
 * whose client has gone still runs its course, so that clients with little patience cannot keep a black-holed
 * endpoint in use.
 */
import type { Socket } from "bun";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { DialError } from "../net/dial-error.ts";
import type { Dial, DialOwner } from "../net/dial.ts";
import type { GatewayConnections, LiveConnection } from "./connections.ts";
import type { EndpointTraffic } from "./endpoint-traffic.ts";
import { PipeEnd, type PipeOwner } from "./pipe.ts";
import type { KeptAlive, Upkeep } from "./upkeep.ts";
import type { Upstream } from "./upstream.ts";

/** What the connections of a gateway share. */
export interface SharedByConnections {
  readonly upstream: Upstream;
  readonly connections: GatewayConnections;
  readonly upkeep: Upkeep;
}

export class GatewayConnection implements DialOwner<PipeEnd>, PipeOwner, LiveConnection, KeptAlive {
  readonly #upstream: Upstream;
  readonly #shared: SharedByConnections;
  readonly #downstreamEnd: PipeEnd;
  readonly #upstreamEnd: PipeEnd;
  #state: "dialling" | "piping" | "closed" = "dialling";
  #endpoint: Endpoint;
  #untried: Endpoint[] | null = null;
  #dial: Dial | null = null;
  /** When the dial began, in the milliseconds of `Upstream.nowMs`. */
  #dialAtMs = 0;
  traffic: EndpointTraffic | null = null;
  /** What the last sweep has seen, and how many before it have seen the same. */
  #activity = -1;
  #quietSweeps = 0;

  /** Takes over a client's socket and is one of `shared.connections` until it is closed. */
  constructor(client: Socket<PipeEnd>, shared: SharedByConnections) {
    const { upstream } = shared;
    const { downstream: downstreamEnd, upstream: upstreamEnd } = PipeEnd.pair(this);
    this.#upstream = upstream;
    this.#shared = shared;
    this.#downstreamEnd = downstreamEnd;
    this.#upstreamEnd = upstreamEnd;
    shared.connections.opened(this);
    client.data = downstreamEnd;
    downstreamEnd.attach(client);
    this.#endpoint = upstream.next();
    this.#startDial();
  }

  dialled(socket: Socket<PipeEnd>): void {
    if (this.#upstream.loopGuard.leadsBack(socket, this.#endpoint)) {
      // At once: what it still had to say would be taken for the next endpoint's.
      socket.terminate();
      this.dialFailed(this.#loopError());
      return;
    }
    this.#upstream.succeeded(this.#endpoint);
    this.#dial = null;
    this.#untried = null;
    if (this.#state === "closed") {
      socket.end();
      return;
    }
    this.#state = "piping";
    this.traffic = this.#shared.connections.reached(this.#endpoint.name);
    this.traffic.dials.add(this.#upstream.nowMs() - this.#dialAtMs);
    this.#shared.upkeep.connected(this);
    this.#upstreamEnd.attach(socket);
  }

  dialFailed(error: DialError): void {
    const failed = this.#endpoint;
    this.#upstream.failed(failed, error);
    if (this.#state === "closed") return;
    this.#untried ??= this.#upstream.others(failed);
    const next = error.reason === "exhausted" ? undefined : this.#untried.shift();
    if (next === undefined) {
      this.#upstream.clientTurnedAway(this.#downstreamEnd.peer, error);
      this.destroy();
      return;
    }
    this.#endpoint = next;
    this.#startDial();
  }

  pipeFinished(): void {
    this.#close();
  }

  pipeBroken(): void {
    this.#close();
  }

  /** Closes both sides at once and gives up the dial. */
  destroy(): void {
    if (this.#state === "closed") return;
    this.#dial?.abandon();
    this.#downstreamEnd.close();
    this.#close();
  }

  get bytesFromClient(): number {
    return this.#downstreamEnd.receivedBytes;
  }

  get bytesFromMember(): number {
    return this.#upstreamEnd.receivedBytes;
  }

  keepAlive(idleMs: number): void {
    this.#downstreamEnd.keepAlive(idleMs);
    this.#upstreamEnd.keepAlive(idleMs);
  }

  sweep(quietMax: number): void {
    const activity = this.#downstreamEnd.activity + this.#upstreamEnd.activity;
    // A dial has a time-out of its own.
    if (activity !== this.#activity || this.#state === "dialling") {
      this.#activity = activity;
      this.#quietSweeps = 0;
      return;
    }
    this.#quietSweeps++;
    if (this.#quietSweeps < quietMax || this.traffic === null) return;
    this.traffic.closedAsIdle++;
    // Bytes that are stuck would be missing in front of an orderly end.
    if (this.#downstreamEnd.waiting || this.#upstreamEnd.waiting) this.reset();
    else this.destroy();
  }

  moveOn(endpoint: string, reason: string): void {
    if (this.#state !== "dialling" || this.#endpoint.name !== endpoint || this.#dial === null) return;
    this.#dial.abandon();
    this.#dial = null;
    this.dialFailed(new DialError("timeout", endpoint, reason));
  }

  reset(): void {
    if (this.#state === "closed") return;
    this.#dial?.abandon();
    this.#downstreamEnd.abort();
    this.#close();
  }

  #startDial(): void {
    const { dialer, loopGuard } = this.#upstream;
    this.#dialAtMs = this.#upstream.nowMs();
    if (!loopGuard.watches(this.#endpoint)) {
      this.#dial = dialer.start(this.#endpoint, this.#upstreamEnd, this);
      return;
    }
    // Clients are accepted in a loop until none is waiting. Were the gateway to dial itself inside that loop, each dial
    // would be the next client, until no file is left.
    setImmediate(() => {
      if (this.#state === "closed") return;
      if (loopGuard.holdsBack(this.#endpoint)) this.dialFailed(this.#loopError());
      else this.#dial = dialer.start(this.#endpoint, this.#upstreamEnd, this);
    });
  }

  #loopError(): DialError {
    return new DialError("failed", this.#endpoint.name, "resolves to the gateway's own listen address");
  }

  #close(): void {
    this.#state = "closed";
    this.#shared.connections.closed(this);
  }
}
