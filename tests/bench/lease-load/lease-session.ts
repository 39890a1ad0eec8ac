/**
 * Clients that keep leases alive through one address, as etcd's Go client does: each has a stream, and sends the
 * heartbeats of all its leases in one burst.
 *
 * Invariant: the leases are granted at etcd itself and revoked there at the end; a client's first burst follows its
 * grants at once, or the first leases would expire while the last ones are granted. A load is over when all its
 * heartbeats are answered, or have waited as long as an answer may take.
 */
import { nowMicros } from "../load/now-micros.ts";
import { grantLeases, type LeaseRange, revokeLeases } from "./leases.ts";
import { type ClientPlan, LeaseConnection } from "./lease-connection.ts";
import { LATE_MICROS, LeaseTally } from "./lease-tally.ts";

const PACE_PROBE_MS = 1;
const DRAIN_PROBE_MS = 5;
/** Clients whose leases are granted together. */
const GRANTED_TOGETHER = 25;
/** Ids that are exact as numbers and leave room for the leases behind the first one. */
const FIRST_IDS = 2 ** 52;

export interface LeasePlan {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  /** `host:port` of etcd, where the leases are made. */
  readonly etcdAddress: string;
  readonly leases: number;
  readonly clients: number;
  readonly connections: number;
  readonly ttlSeconds: number;
  /** From one burst of a client to its next, where they are paced. */
  readonly paceSeconds: number;
}

/** Calls `beat` so many times a second, with a number that counts up; catches up when it was held up. */
class Pace {
  readonly #startedAtMs = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;
  #sent = 0;

  constructor(beat: (number: number) => void, perSecond: number) {
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - this.#startedAtMs) / 1000) * perSecond);
      while (this.#sent < due) beat(this.#sent++);
    }, PACE_PROBE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

export class LeaseSession implements AsyncDisposable {
  readonly tally: LeaseTally;
  readonly #plan: LeasePlan;
  readonly #range: LeaseRange;
  readonly #connections: LeaseConnection[] = [];
  /** Where each client is: its connection, and which it is there. */
  readonly #clients: (readonly [connection: LeaseConnection, index: number])[] = [];
  #pace: Pace | null = null;
  /** Clients that have their leases. */
  #granted = 0;

  private constructor(plan: LeasePlan) {
    this.#plan = plan;
    this.tally = new LeaseTally(plan.leases);
    this.#range = { firstId: 1 + Math.floor(Math.random() * FIRST_IDS), leases: plan.leases };
  }

  /** Opens all streams, makes the leases and keeps them alive from then on, paced. */
  static async open(plan: LeasePlan): Promise<LeaseSession> {
    const session = new LeaseSession(plan);
    const { address, clients } = plan;
    const connections = Math.min(plan.connections, clients);
    for (let index = 0; index < connections; index++) {
      const some = Array.from({ length: clients }, (_, client) => session.#leasesOf(client)).filter(
        (_, client) => client % connections === index,
      );
      session.#connections.push(
        await LeaseConnection.open(address, some, session.#range.firstId, session.tally),
      );
    }
    for (let client = 0; client < clients; client++) {
      session.#clients.push([session.#connections[client % connections]!, Math.floor(client / connections)]);
    }
    session.startPaced();
    await session.#grant();
    return session;
  }

  /** Why streams ended, each reason with their number. */
  get ended(): Record<string, number> {
    const reasons: Record<string, number> = {};
    for (const reason of this.#connections.flatMap(({ ended }) => ended)) {
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
    return reasons;
  }

  /** From now on each client sends its next burst as soon as the last one is answered. */
  startClosedLoop(): void {
    for (const connection of this.#connections) connection.closedLoop = true;
    this.#pace?.stop();
    for (let client = 0; client < this.#granted; client++) this.#beat(client);
  }

  /** From now on each client sends a burst in every `paceSeconds`, one client after the other. */
  startPaced(): void {
    this.#pace?.stop();
    const { clients, paceSeconds } = this.#plan;
    this.#pace = new Pace((number) => this.#beat(number % clients), clients / paceSeconds);
  }

  /** Sends no more, and waits until all that was sent is answered, or can no longer be. */
  async drain(): Promise<void> {
    for (const connection of this.#connections) connection.closedLoop = false;
    this.#pace?.stop();
    const stoppedAtMicros = nowMicros();
    while (this.tally.waiting > 0 && nowMicros() - stoppedAtMicros < LATE_MICROS) {
      await Bun.sleep(DRAIN_PROBE_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.close();
    // Those that are gone are told already, by their answers.
    await revokeLeases(this.#plan.etcdAddress, this.#range).catch(() => {});
  }

  #leasesOf(client: number): ClientPlan {
    const { leases, clients } = this.#plan;
    const first = Math.floor((client * leases) / clients);
    return { first, leases: Math.floor(((client + 1) * leases) / clients) - first };
  }

  async #grant(): Promise<void> {
    const { clients, etcdAddress, ttlSeconds } = this.#plan;
    while (this.#granted < clients) {
      const until = Math.min(clients, this.#granted + GRANTED_TOGETHER);
      const { first } = this.#leasesOf(this.#granted);
      const { first: last, leases } = this.#leasesOf(until - 1);
      const range = { firstId: this.#range.firstId + first, leases: last + leases - first };
      await grantLeases(etcdAddress, range, ttlSeconds);
      while (this.#granted < until) {
        this.#granted++;
        this.#beat(this.#granted - 1);
      }
    }
  }

  /** Sends a burst of the client, once it has its leases. */
  #beat(client: number): void {
    if (client >= this.#granted) return;
    const [connection, index] = this.#clients[client]!;
    connection.beat(index);
  }
}
