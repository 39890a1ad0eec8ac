/**
 * Model clients, a lease hub and model members together, under a clock that a test drives.
 *
 * Invariants of every run: no heartbeat goes upstream for which no client waits, and of each lease at most one is in
 * flight on a call.
 */
import { Code, type Status } from "../../../src/grpc/status.ts";
import type { LeaseCall, LeaseCallHandler, LeaseCalls } from "../../../src/proxy/lease/lease-calls.ts";
import { LeaseHub } from "../../../src/proxy/lease/lease-hub.ts";
import type { LeaseLimits } from "../../../src/proxy/lease/lease-limits.ts";
import { FakeClock } from "../../harness/fake-clock.ts";
import { type ClientOptions, LeaseClient } from "./lease-client.ts";
import { type ModelCallOwner, ModelLeaseCall, type SentHeartbeat } from "./model-lease-call.ts";

export const LOST: Status = { code: Code.UNAVAILABLE, message: "etcdproxy: a: the connection was lost" };
export const UNREACHABLE: Status = {
  code: Code.UNAVAILABLE,
  message: "etcdproxy: no member can be reached (a: down)",
};

export class LeaseWorld implements LeaseCalls, ModelCallOwner {
  readonly clock = new FakeClock();
  readonly hub: LeaseHub;
  readonly clients: LeaseClient[] = [];
  /** Every call that was opened. */
  readonly calls: ModelLeaseCall[] = [];
  /** Whether new calls are carried at once. */
  reachable = true;
  readonly #violations: string[] = [];
  #ticks = 0;

  /** Unless `limits` say otherwise, nothing waits for more to go with it. */
  constructor(limits: Partial<LeaseLimits> = {}, requestBytesMax = 1024) {
    this.hub = new LeaseHub({
      calls: this,
      clock: this.clock,
      requestBytesMax,
      limits: { sendIntervalMs: 0, holdMs: 0, manyHeartbeats: 1, ...limits },
      random: () => 0,
    });
  }

  /** A client whose stream the hub serves from now on. */
  connect(options: ClientOptions = {}): LeaseClient {
    const client = new LeaseClient(`client ${this.clients.length}`, () => this.tick(), options);
    this.clients.push(client);
    this.hub.serve(client.call);
    return client;
  }

  connectMany(count: number, options: ClientOptions = {}): LeaseClient[] {
    return Array.from({ length: count }, () => this.connect(options));
  }

  /** Calls that are open. */
  get openCalls(): ModelLeaseCall[] {
    return this.calls.filter(({ over }) => !over);
  }

  /** The call that was opened last. */
  get latest(): ModelLeaseCall {
    return this.calls.at(-1)!;
  }

  get violations(): string[] {
    return [...this.#violations, ...this.clients.flatMap(({ violations }) => violations)];
  }

  /** Ends the turn: what was asked goes upstream, what was answered goes to clients. */
  turn(): void {
    this.clock.endTurn();
  }

  /** Every open call answers all it has, until nothing is left to answer; no time passes. */
  answerAll(): void {
    this.turn();
    for (let round = 0; round < 1000; round++) {
      const waiting = this.openCalls.filter((call) => call.inFlight.length > 0 || call.halfClosed);
      if (waiting.length === 0) return;
      for (const call of waiting) call.answer(call.inFlight.length);
      this.turn();
    }
    throw new Error("the hub asks without end");
  }

  // From the hub.

  open(token: string, requiresLeader: boolean, handler: LeaseCallHandler): LeaseCall {
    const call = new ModelLeaseCall(token, requiresLeader, this, handler);
    call.reached = this.reachable;
    this.calls.push(call);
    return call;
  }

  unavailable(): Status {
    return UNREACHABLE;
  }

  // From calls.

  tick(): number {
    return ++this.#ticks;
  }

  onHeartbeat(call: ModelLeaseCall, { id }: SentHeartbeat): void {
    if (call.inFlight.includes(id)) this.onViolation(`${id} is in flight twice`);
    const wants = (client: LeaseClient) =>
      client.token === call.token &&
      client.requiresLeader === call.requiresLeader &&
      client.waitsFor.some((asked) => asked.id === id);
    if (!this.clients.some(wants)) this.onViolation(`${id} is sent and no client waits for it`);
  }

  onViolation(text: string): void {
    this.#violations.push(text);
  }
}
