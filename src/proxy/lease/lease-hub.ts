/**
 * Any number of clients' LeaseKeepAlive streams on one upstream stream for each identity.
 *
 * Stands between the calls of clients and the calls to members: `client-stream` reads requests and sends answers,
 * `lease-group` decides what goes upstream on behalf of all streams of one identity. The work of a turn is put
 * together: answers first, then heartbeats.
 */
import type { Clock } from "../../base/clock.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import type { Status } from "../../grpc/status.ts";
import type { EndlessCall } from "../endless-calls.ts";
import { ClientStream, type ClientStreamOwner } from "./client-stream.ts";
import type { LeaseCalls } from "./lease-calls.ts";
import { LeaseGroup, type LeaseGroupOwner } from "./lease-group.ts";
import { LEASE_LIMITS, type LeaseLimits } from "./lease-limits.ts";
import { LeaseStats } from "./lease-stats.ts";

export interface LeaseHubOptions {
  readonly calls: LeaseCalls;
  readonly clock: Clock;
  /** The largest request message a client may send, in bytes. */
  readonly requestBytesMax?: number;
  readonly limits?: Partial<LeaseLimits>;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

const REQUEST_BYTES_MAX = 1536 * 1024;

export class LeaseHub implements ClientStreamOwner, LeaseGroupOwner {
  readonly calls: LeaseCalls;
  readonly clock: Clock;
  readonly limits: LeaseLimits;
  readonly requestBytesMax: number;
  readonly random: () => number;
  readonly counted = new LeaseStats();
  readonly #groups = new Map<string, LeaseGroup>();
  readonly #streams = new Set<ClientStream>();
  /** How client streams end from now on. */
  #dismissal: Status | null = null;
  #pumping: ClientStream[] = [];
  /** Streams whose answers wait for more. */
  #held: ClientStream[] = [];
  #flushing: LeaseGroup[] = [];
  #turnPlanned = false;

  constructor(options: LeaseHubOptions) {
    this.calls = options.calls;
    this.clock = options.clock;
    this.limits = { ...LEASE_LIMITS, ...options.limits };
    this.requestBytesMax = options.requestBytesMax ?? REQUEST_BYTES_MAX;
    this.random = options.random ?? Math.random;
  }

  /** What has been counted up to now. */
  get stats(): LeaseStats {
    const stats = this.counted;
    stats.leases = 0;
    for (const group of this.#groups.values()) stats.leases += group.leases;
    return stats;
  }

  /** Serves a client's LeaseKeepAlive call. */
  serve(call: ServerCall): void {
    const stream = new ClientStream(call, this);
    this.#streams.add(stream);
    this.counted.clientStreams++;
    stream.group.add(stream);
    if (this.#dismissal !== null) stream.dismiss(this.#dismissal);
  }

  /** Further client streams are ended with `status` as they come; returns those that are open. */
  dismissNew(status: Status): readonly EndlessCall[] {
    this.#dismissal = status;
    return [...this.#streams];
  }

  /** Ends all calls to members. Client streams are their owner's business. */
  close(): void {
    for (const group of this.#groups.values()) group.close();
    this.#groups.clear();
  }

  // From client streams.

  get clientHeartbeatsMax(): number {
    return this.limits.clientHeartbeatsMax;
  }

  get holdMs(): number {
    return this.limits.holdMs;
  }

  nowMs(): number {
    return this.clock.nowMs();
  }

  pumpSoon(stream: ClientStream): void {
    this.#pumping.push(stream);
    this.#planTurn();
  }

  pumpLater(stream: ClientStream): void {
    stream.held = true;
    if (this.#held.push(stream) === 1) this.clock.after(this.holdMs, () => this.#pumpHeld());
  }

  onClosed(stream: ClientStream): void {
    this.#streams.delete(stream);
    this.counted.clientStreams--;
    stream.group.remove(stream);
  }

  // From groups.

  flushSoon(group: LeaseGroup): void {
    if (group.flushing) return;
    group.flushing = true;
    this.#flushing.push(group);
    this.#planTurn();
  }

  onIdle(group: LeaseGroup): void {
    this.#groups.delete(group.key);
  }

  groupOf(identity: string, requiresLeader: boolean): LeaseGroup {
    const key = `${requiresLeader ? "leader" : ""}/${identity}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new LeaseGroup(key, identity, requiresLeader, this);
      this.#groups.set(key, group);
    }
    return group;
  }

  #planTurn(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    this.clock.endOfTurn(() => this.#endTurn());
  }

  #pumpHeld(): void {
    const streams = this.#held;
    this.#held = [];
    for (const stream of streams) {
      stream.held = false;
      stream.pump();
    }
  }

  #endTurn(): void {
    this.#turnPlanned = false;
    const streams = this.#pumping;
    this.#pumping = [];
    for (const stream of streams) stream.pumpIfWhole();
    const groups = this.#flushing;
    this.#flushing = [];
    for (const group of groups) group.flush();
  }
}
