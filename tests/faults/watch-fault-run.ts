/**
 * One run of watches under faults: a cluster whose members can be cut off from each other, the proxy behind relays,
 * writers, some forty watches on some fifteen streams, and the faults themselves, in an order of chance.
 *
 * A fault is held until the writers have got on, or have failed when they must, so a run is as long as its work. What
 * counts is the end: every history against etcd's own.
 */
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { etcdVersion, isSince } from "../harness/etcd-version.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { SeededRandom } from "./seeded-random.ts";
import { WatchClient, type WatchClientOptions } from "./watch-client.ts";
import { violationsOf, type WatchHistory } from "./watch-history.ts";
import { ALL_KEYS, concerns, prefixed, type WatchPlan } from "./watch-plan.ts";
import {
  GROUPS,
  keyOf,
  KEYS_OF_A_GROUP,
  LARGE_GROUP,
  WatchWriters,
  writeLargeValues,
  writeSentinels,
} from "./watch-writers.ts";

const STREAMS = 15;
const WATCHES = 40;
/** Streams that stop reading in the midst of the run and never go on. */
const FORSAKEN = 2;
/** Writes before the first fault, and after each. */
const WRITES = 120;
const FAILED_WRITES = 3;
const LARGE_WRITES = 60;
const CAUGHT_UP_MAX_MS = 60_000;

/** Requests of this size are let through, so that events of half a MiB more are sent in fragments. */
const CLUSTER_FLAGS = ["--max-request-bytes=131072"];

export class WatchFaultRun implements AsyncDisposable {
  readonly cluster: EtcdCluster;
  readonly relays: readonly TcpRelay[];
  readonly proxy: EtcdproxyProcess;
  readonly truth: ClusterHistory;
  readonly writers: WatchWriters;
  readonly clients: readonly WatchClient[];
  /** What was done, for a failure. */
  readonly journal: string[] = [];
  compactions = 0;
  readonly #random: SeededRandom;
  readonly #forsaken: readonly WatchClient[];
  /** A watch that is opened and cancelled all the time. */
  #passing: WatchHistory | undefined;

  private constructor(
    random: SeededRandom,
    cluster: EtcdCluster,
    relays: readonly TcpRelay[],
    proxy: EtcdproxyProcess,
    truth: ClusterHistory,
    writers: WatchWriters,
  ) {
    this.#random = random;
    this.cluster = cluster;
    this.relays = relays;
    this.proxy = proxy;
    this.truth = truth;
    this.writers = writers;
    this.clients = Array.from({ length: STREAMS }, (_, index) => {
      return new WatchClient(proxy.address, streamOptions(index));
    });
    this.#forsaken = this.clients.slice(-FORSAKEN);
  }

  static async start(seed: number): Promise<WatchFaultRun> {
    const random = new SeededRandom(seed);
    const cluster = await startEtcdCluster({ members: 3, relayedPeers: true, flags: clusterFlags() });
    const relays = cluster.endpoints.map((endpoint) => new TcpRelay(endpoint));
    const proxy = await startGrpcProxy(relays.map(({ endpoint }) => endpoint));
    const truth = await ClusterHistory.begin(cluster.member(0).endpoint);
    const writers = new WatchWriters([...cluster.endpoints, proxy.address], seed);
    const run = new WatchFaultRun(random, cluster, relays, proxy, truth, writers);
    await writers.progress(WRITES);
    await truth.extend(cluster.member(0).endpoint);
    for (let index = 0; index < WATCHES; index++) {
      run.clients[index % STREAMS]!.open(randomPlan(random, index, truth));
    }
    for (const client of run.clients) await client.opened();
    return run;
  }

  /** Brings about `count` faults, each kind once before any comes again. */
  async faults(count: number): Promise<void> {
    let waiting: (readonly [string, () => Promise<void>])[] = [];
    for (let done = 0; done < count; done++) {
      if (waiting.length === 0) waiting = this.#random.shuffled(Object.entries(this.#kinds));
      const [name, fault] = waiting.pop()!;
      this.journal.push(name);
      this.#passBy();
      this.#askProgress();
      if (done === 2) for (const client of this.#forsaken) client.forsake();
      await fault();
      await this.writers.progress(WRITES);
      this.#askProgress();
    }
  }

  /** Ends the writing, waits until every watch has heard the last words, and tells all that was wrong. */
  async violations(): Promise<string[]> {
    for (const client of this.clients) if (!this.#forsaken.includes(client)) client.resume();
    await this.cluster.waitHealthy();
    await this.writers.stop();
    const { endpoint } = this.cluster.member(0);
    await writeSentinels(endpoint);
    await this.truth.extend(endpoint);
    const histories = this.clients.flatMap((client) => client.histories);
    const late = (): string[] =>
      histories.filter((history) => history.live && !caughtUp(history, this.truth)).map(nameOf);
    const waiting = waitFor("every watch to hear the last words", () => late().length === 0, {
      deadlineMs: CAUGHT_UP_MAX_MS,
    });
    await waiting.catch(() => this.journal.push(`silent at the end: ${late().join(", ")}`));
    return [
      ...this.clients.flatMap((client) => client.violations),
      ...histories.flatMap((history) => shortened(violationsOf(history, this.truth))),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.close();
    await this.writers.stop();
    await this.proxy[Symbol.asyncDispose]();
    for (const relay of this.relays) relay[Symbol.dispose]();
    await this.cluster.dispose();
  }

  readonly #kinds: Readonly<Record<string, () => Promise<void>>> = {
    "a member is killed and started again": async () => {
      const member = await this.#anyMember();
      await member.kill();
      await this.writers.progress(WRITES);
      member.restart();
      await this.cluster.waitHealthy();
    },
    "a member is stopped and continued": async () => {
      const member = await this.#anyMember();
      member.stop();
      await this.writers.progress(WRITES);
      member.continue();
      await this.cluster.waitHealthy();
    },
    "a member is cut off from the others": async () => {
      const member = await this.#anyMember();
      await this.cluster.isolate(member);
      await this.writers.progress(WRITES);
      this.cluster.rejoin(member);
      await this.cluster.waitHealthy();
    },
    "two members are killed and started again": async () => {
      const [first, second] = this.#random.shuffled(this.cluster.members);
      await Promise.all([first!.kill(), second!.kill()]);
      await this.writers.failing(FAILED_WRITES);
      first!.restart();
      second!.restart();
      await this.cluster.waitHealthy();
    },
    "all members are killed and started again": async () => {
      await Promise.all(this.cluster.members.map((member) => member.kill()));
      await this.writers.failing(FAILED_WRITES);
      for (const member of this.cluster.members) member.restart();
      await this.cluster.waitHealthy();
    },
    "the proxy's connections are cut, and cut again": async () => {
      for (let times = 0; times < 3; times++) {
        for (const relay of this.relays) relay.cut();
        await this.writers.progress(WRITES / 3);
      }
    },
    "the proxy's connections carry nothing for a while": async () => {
      for (const relay of this.relays) relay.stall();
      await this.writers.progress(WRITES);
      for (const relay of this.relays) relay.pass();
    },
    "the proxy loses the member that it uses": async () => {
      const used = this.relays.filter((relay) => relay.endpoint === this.proxy.endpointInUse);
      for (const relay of used) relay.refuse();
      await this.writers.progress(WRITES);
      for (const relay of used) relay.pass();
    },
    "the proxy reaches no member": async () => {
      for (const relay of this.relays) relay.refuse();
      await this.writers.progress(WRITES);
      for (const relay of this.relays) relay.pass();
    },
    "clients pause": async () => {
      const awake = this.clients.filter((client) => !client.paused);
      for (const client of awake) if (this.#random.chance(0.5)) client.pause();
      // More than windows and queues take: who is told of these keys falls behind.
      await writeLargeValues(this.cluster.member(0).endpoint, LARGE_WRITES);
      await this.writers.progress(WRITES);
    },
    "clients go on": async () => {
      for (const client of this.clients) if (!this.#forsaken.includes(client)) client.resume();
      await this.writers.progress(WRITES);
    },
    "what all clients have seen is compacted": async () => {
      await this.writers.progress(WRITES);
      await this.#compact();
    },
    "another member leads": async () => {
      const leader = await this.cluster.leader();
      const other = this.#random.pick(this.cluster.members.filter((member) => member !== leader));
      const { memberId } = await other.status();
      using client = new GrpcClient(leader.endpoint);
      await client.unary(Maintenance.method.moveLeader, { targetID: BigInt(memberId) }).catch(() => {});
    },
  };

  /** A member, the leader more often than others. */
  async #anyMember(): Promise<EtcdMember> {
    return this.#random.chance(0.3) ? this.cluster.leader() : this.#random.pick(this.cluster.members);
  }

  #askProgress(): void {
    for (const client of this.clients) if (!client.paused) client.askProgress();
  }

  /** Ends the passing watch and opens the next, which begins in the past. */
  #passBy(): void {
    const client = this.clients[1]!;
    if (this.#passing !== undefined) client.cancel(this.#passing);
    const { firstKept, lastRevision } = this.truth;
    const startRevision = firstKept + this.#random.below(Math.max(1, lastRevision - firstKept + 1));
    this.#passing = client.open({ ...randomRange(this.#random), startRevision });
  }

  async #compact(): Promise<void> {
    const live = this.clients.flatMap((client) => client.histories).filter((history) => history.live);
    const seen = Math.min(...live.map((history) => history.nextStart - 1));
    if (seen <= this.truth.compactRevision || seen < this.truth.firstRevision) return;
    const { endpoint } = this.cluster.member(0);
    await this.truth.extend(endpoint);
    using client = new GrpcClient(endpoint);
    this.truth.compactRevision = seen;
    await client.unary(KV.method.compact, { revision: BigInt(seen) });
    this.compactions++;
    this.journal.push(`compacted at ${seen}, ${this.truth.lastRevision} is known`);
  }
}

/** Etcd tells progress every ten minutes unless it is told otherwise. */
function clusterFlags(): string[] {
  const interval = "watch-progress-notify-interval=300ms";
  if (isSince(etcdVersion(), [3, 6, 0])) return [...CLUSTER_FLAGS, `--${interval}`];
  return [...CLUSTER_FLAGS, `--experimental-${interval}`];
}

/** Some ask for a leader, one says all it has to say at once. */
function streamOptions(index: number): WatchClientOptions {
  return { requireLeader: index % 5 === 4, halfCloses: index === 2 };
}

function randomRange(random: SeededRandom): Pick<WatchPlan, "key" | "rangeEnd"> {
  const key = keyOf(random.below(LARGE_GROUP), random.below(KEYS_OF_A_GROUP));
  switch (random.below(7)) {
    case 0:
      return { key };
    case 1:
      return ALL_KEYS;
    case 2:
      return prefixed("k/");
    case 3:
      return { key, rangeEnd: "\0" };
    case 4:
      return { key, rangeEnd: `k/${random.below(GROUPS)}/~` > key ? `k/${GROUPS}/` : `${key}~` };
    default:
      return prefixed(`k/${random.below(GROUPS)}/`);
  }
}

/** Ranges often coincide or lie within each other. */
function randomPlan(random: SeededRandom, index: number, truth: ClusterHistory): WatchPlan {
  const { firstRevision, lastRevision } = truth;
  const past = firstRevision + random.below(lastRevision - firstRevision + 1);
  const startRevision = random.pick([0, 0, past, lastRevision + 50]);
  return {
    ...randomRange(random),
    startRevision,
    prevKv: random.chance(0.4),
    without: random.pick([[], [], [], ["put"], ["delete"]]),
    fragment: random.chance(0.4),
    progressNotify: random.chance(0.4),
    watchId: random.chance(0.3) ? 1000 + index : 0,
  };
}

/** Whether the watch has heard of the last change that concerns it. */
function caughtUp({ plan, lastChange }: WatchHistory, truth: ClusterHistory): boolean {
  const last = truth.changes.findLast((change) => concerns(plan, change));
  return last === undefined || lastChange >= last.revision;
}

/** One violation often brings others of the same watch with it. */
function shortened([first, ...others]: readonly string[]): string[] {
  if (first === undefined) return [];
  return [others.length === 0 ? first : `${first}; and ${others.length} more`];
}

function nameOf({ plan, lastChange }: WatchHistory): string {
  return `${JSON.stringify(plan)} at ${lastChange}`;
}
