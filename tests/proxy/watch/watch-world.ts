/**
 * Model clients, a watch hub and a model etcd together, and the way to their end: everything healed, everything
 * delivered, and then every client's history held against the store's.
 */
import type { Clock } from "../../../src/base/clock.ts";
import type { ServerCall } from "../../../src/grpc/server-call.ts";
import { Code } from "../../../src/grpc/status.ts";
import { OwnIdentity } from "../../../src/proxy/auth/own-identity.ts";
import type { WatchCalls } from "../../../src/proxy/watch/watch-calls.ts";
import type { WatchLimits } from "../../../src/proxy/watch/watch-limits.ts";
import type { ClientWatch } from "./client-watch.ts";
import { FakeClock } from "../../harness/fake-clock.ts";
import { type KeyRange, maximalRanges } from "./key-range.ts";
import { ModelClient } from "./model-client.ts";
import { CONNECTION_LOST, ModelEtcd, type ModelEtcdOptions, NO_LEADER, UNREACHABLE } from "./model-etcd.ts";
import type { ModelOwnUser } from "./model-own-user.ts";
import { INVALID_AUTH_TOKEN } from "./model-refusals.ts";

/** Time that is given at the end, in steps: beyond every delay before something is tried again. */
const SETTLE_MS = [...Array<number>(10).fill(100), ...Array<number>(24).fill(500)];
/** Members are left alone at the end, but for one round of requests for progress on each call: in steps of 100 ms. */
const IDLE_STEPS = 40;
const IDLE_REQUESTS_MAX = 30;
/** Far more than it takes to let everything arrive. */
const ROUNDS_MAX = 20_000;

/** What a world needs of a hub. */
export interface Hub {
  serve(call: ServerCall): void;
  /** Makes the watches lag that have most waiting. */
  shedLargestQueue?(): boolean;
}

export type HubMaker = (options: {
  calls: WatchCalls;
  clock: Clock;
  limits: Partial<WatchLimits>;
  own: OwnIdentity | null;
}) => Hub;

export class WatchWorld {
  readonly clock = new FakeClock();
  readonly etcd: ModelEtcd;
  readonly hub: Hub;
  readonly own: OwnIdentity | null;
  readonly clients: ModelClient[] = [];
  readonly limits: Partial<WatchLimits>;
  /** See `ModelClient`. */
  checksProgress = true;

  constructor(makeHub: HubMaker, options: ModelEtcdOptions = {}, limits: Partial<WatchLimits> = {}) {
    this.etcd = new ModelEtcd(options);
    this.limits = limits;
    this.own = this.etcd.own === null ? null : this.#ownIdentity(this.etcd.own);
    this.hub = makeHub({ calls: this.etcd, clock: this.clock, limits, own: this.own });
    this.own?.start();
  }

  #ownIdentity({ signIn }: ModelOwnUser): OwnIdentity {
    const reports = { onSignedIn() {}, onAuthOff() {}, onTrouble() {} };
    return new OwnIdentity({ signIn, clock: this.clock, reports, random: () => 0.5 });
  }

  /** A client whose stream the hub serves from now on. `windowBytes`: what it reads at first. */
  connect(options: { token?: string; requireLeader?: boolean; windowBytes?: number } = {}): ModelClient {
    const name = `client ${this.clients.length}`;
    const client = new ModelClient(name, this.etcd, options.token, options.requireLeader);
    client.call.windowBytes = options.windowBytes ?? Number.POSITIVE_INFINITY;
    client.checksProgress = this.checksProgress;
    this.clients.push(client);
    this.hub.serve(client.call);
    return client;
  }

  /** One client, one watch, sent at once. */
  watch(wish: Parameters<ModelClient["create"]>[0], client: ModelClient = this.connect()): ClientWatch {
    const watch = client.create(wish);
    client.flush();
    return watch;
  }

  get violations(): string[] {
    const violations = [...this.etcd.violations, ...this.clients.flatMap(({ violations }) => violations)];
    const { watchesWanted } = this.etcd;
    const most = this.#watchesAtOnce();
    if (watchesWanted > most) violations.push(`${watchesWanted} upstream watches at once, ${most} would do`);
    return violations;
  }

  /** Each range that was ever asked for may have a watch and one that takes its place; and there are catch-ups. */
  #watchesAtOnce(): number {
    // Watches of those who have a token are refused, which is not told here.
    const { catchUpsMax } = this.limits;
    if (this.etcd.wantsTokens || catchUpsMax === undefined) return Number.POSITIVE_INFINITY;
    const ranges = this.clients.flatMap(({ watches }) => watches.map(({ range }) => JSON.stringify(range)));
    return 2 * new Set(ranges).size + catchUpsMax;
  }

  /** Everything that is under way arrives; no time passes. */
  run(): void {
    this.clock.endTurn();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const [next] = this.etcd.actions;
      if (next === undefined) return;
      next.run();
      this.clock.endTurn();
    }
    throw new Error(`no rest without any time passing; next: ${this.etcd.actions[0]?.name}`);
  }

  /** Everything arrives, and all that waits for time gets it. */
  settle(): void {
    this.run();
    for (const ms of SETTLE_MS) {
      this.clock.advance(ms);
      this.run();
    }
  }

  /** Ends all trouble. `readers`: the clients that read on. */
  heal(readers: readonly ModelClient[] = this.clients): void {
    const { etcd } = this;
    etcd.reachable = true;
    etcd.hasLeader = true;
    for (const member of etcd.members) member.apply(Number.POSITIVE_INFINITY);
    for (const call of etcd.calls) if (call.stream !== undefined) call.stream.full = false;
    for (const client of this.clients) client.flush();
    for (const client of readers) client.readAll();
  }

  /** What is wrong now that everything is healed and settled. */
  faultsAtRest(readers: readonly ModelClient[] = this.clients): string[] {
    const faults = [...this.violations];
    for (const client of readers) if (client.open) this.#addFaultsOf(client, faults);
    for (const client of this.clients) {
      if (client.status !== undefined && !this.#mayEnd(client)) {
        faults.push(`${client.name} was ended: ${client.status.code} ${client.status.message}`);
      }
    }
    if (this.etcd.own?.steady === true) this.#addEndedByTokens(faults);
    const [least, most] = this.#watchesAllowed(readers);
    if (this.etcd.watches < least || this.etcd.watches > most) {
      faults.push(`${this.etcd.watches} upstream watches for ${least} to ${most} ranges`);
    }
    const callsMost = this.#callsAllowed();
    if (this.etcd.calls.length > callsMost) {
      faults.push(`${this.etcd.calls.length} calls to members, ${callsMost} would do`);
    }
    this.#addUnrest(faults);
    return faults;
  }

  /** With a user of the proxy's own that may watch everything, no watch that has begun ends for want of a token. */
  #addEndedByTokens(faults: string[]): void {
    for (const { name, watches } of this.clients) {
      for (const { id, created, canceled, cancelReason } of watches) {
        if (created && canceled && cancelReason === INVALID_AUTH_TOKEN)
          faults.push(`${name}: watch ${id} was ended with its token`);
      }
    }
  }

  /** How many watches members should hold: one for each range that lies in no other one. */
  #watchesAllowed(readers: readonly ModelClient[]): [least: number, most: number] {
    const read = maximalRanges(readers.flatMap(({ liveWatches }) => rangesOf(liveWatches)));
    const carried = this.etcd.expiredTokens.size === 0 || this.etcd.own?.steady === true;
    if (readers.length === this.clients.length && carried) {
      return [read.length, read.length];
    }
    // What a client was told that does not read is not known, nor whether its watches hold anything. And a watch that
    // lives on a token that has ended serves those who sit there, and nobody else.
    const all = this.clients.flatMap(({ open, watches }) => (open ? rangesOf(watches) : []));
    return [Math.min(1, read.length), new Set(all.map((range) => JSON.stringify(range))).size];
  }

  /** One call carries all watches, or one for each token; one more tells of the leader. */
  #callsAllowed(): number {
    const { expiredTokens, own } = this.etcd;
    const open = this.clients.filter((client) => client.open);
    const leader = open.some(({ requireLeader }) => requireLeader) ? 1 : 0;
    if (own?.steady === true) return 1 + leader;
    // What lives on a token that has ended stays where it is.
    if (expiredTokens.size > 0) return Number.POSITIVE_INFINITY;
    const tokens = new Set(open.filter(({ watches }) => watches.length > 0).map(({ token }) => token));
    return tokens.size + (own === null ? 0 : 1) + leader;
  }

  /** Once everything is done and nobody waits for anything, members are left alone. */
  #addUnrest(faults: string[]): void {
    if (this.clients.some(({ open, progressWaiting }) => open && progressWaiting.length > 0)) return;
    const { calls } = this.etcd;
    const taken = () => calls.reduce((sum, { requestsTaken }) => sum + requestsTaken, 0);
    const before = taken();
    for (let step = 0; step < IDLE_STEPS; step++) {
      this.clock.advance(100);
      this.run();
    }
    const requests = taken() - before;
    if (
      requests > calls.length * IDLE_REQUESTS_MAX ||
      this.etcd.calls.some((call) => !calls.includes(call))
    ) {
      faults.push(`no rest: ${requests} further requests to members`);
    }
  }

  #addFaultsOf(client: ModelClient, faults: string[]): void {
    const { name, call, unanswered } = client;
    if (unanswered > 0) faults.push(`${name}: ${unanswered} creates or cancels are not answered`);
    if (call.consumedBytes < call.sentBytes) {
      faults.push(`${name}: ${call.sentBytes - call.consumedBytes} bytes of requests are not consumed`);
    }
    const { liveWatches, progressWaiting } = client;
    const reached = liveWatches.every(({ wish }) => (wish.startRevision ?? 0) <= this.etcd.store.revision);
    // Without a watch before it the request means nothing.
    const due = progressWaiting.some(({ at }) => liveWatches.some(({ createAt }) => createAt < at));
    if (client.checksProgress && due && reached)
      faults.push(`${name}: a request for progress is not answered`);
    for (const watch of liveWatches) {
      const missing = watch.missing(this.etcd.store.revision);
      if (missing !== undefined) {
        faults.push(
          `${name}: watch ${watch.id} ${JSON.stringify(watch.wish)} has not had revision ${missing.revision}`,
        );
      }
      if (watch.fragmentOpen) faults.push(`${name}: watch ${watch.id} has had no last fragment`);
      if (watch.isTooLate) faults.push(`${name}: watch ${watch.id} lives, but its start is compacted`);
      if ((watch.wish.startRevision ?? 0) < 0)
        faults.push(`${name}: a watch from before the beginning lives`);
    }
  }

  #mayEnd({ requireLeader, status, watches, token }: ModelClient): boolean {
    if (status?.code !== Code.UNAVAILABLE) return false;
    // Watches that it began while it could, and cannot begin anew.
    if (status.message.endsWith(INVALID_AUTH_TOKEN))
      return this.etcd.expiredTokens.has(token) && watches.length > 0;
    if (status.message === NO_LEADER.message) return requireLeader && this.etcd.leaderLosses > 0;
    // A create that no member could be asked about.
    const failed = [UNREACHABLE.message, CONNECTION_LOST.message].includes(status.message);
    return failed && watches.some(({ created, canceled }) => !created && !canceled);
  }
}

function rangesOf(watches: readonly ClientWatch[]): KeyRange[] {
  return watches.flatMap(({ canceled, range }) => (canceled || range === undefined ? [] : [range]));
}
