/** Members go and come back: what watches through the proxy notice of it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { testSince } from "../harness/etcd-version.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { RECONNECT_QUICKLY, WatchClient } from "./watch-client.ts";
import { violationsOf } from "./watch-history.ts";
import { prefixed, type WatchPlan } from "./watch-plan.ts";

const CLIENTS = 6;
const TIMEOUT_MS = 60_000;
const UNAVAILABLE = "14 ";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
let relays: readonly TcpRelay[];
let proxy: EtcdproxyProcess;
let truth: ClusterHistory;
let clients: WatchClient[];
beforeEach(async () => {
  cluster = await startEtcdCluster({ members: 3 });
  relays = cluster.endpoints.map((endpoint) => new TcpRelay(endpoint));
  proxy = await startGrpcProxy(relays.map(({ endpoint }) => endpoint));
  truth = await ClusterHistory.begin(cluster.member(0).endpoint);
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  await proxy[Symbol.asyncDispose]();
  for (const relay of relays) relay[Symbol.dispose]();
  await cluster.dispose();
});

const everything: readonly WatchPlan[] = [
  prefixed("w/"),
  { ...prefixed("w/"), prevKv: true },
  { key: "w/key" },
  { key: "w/", rangeEnd: "\0", startRevision: 1 },
];

/** Clients that each have all of `plans` on one stream. */
async function watching(plans: readonly WatchPlan[], options = {}, count = CLIENTS): Promise<WatchClient[]> {
  const opened = Array.from({ length: count }, () => new WatchClient(proxy.address, options));
  clients.push(...opened);
  for (const client of opened) for (const plan of plans) client.open(plan);
  for (const client of opened) await client.opened();
  return opened;
}

/** Puts a key directly at a member that answers. Resolves to its revision. */
async function put(key: string): Promise<number> {
  return waitFor("a write", async () => {
    using client = new GrpcClient(
      cluster.members.find((member) => member.running)!.endpoint,
      RECONNECT_QUICKLY,
    );
    const { header } = await client.unary(
      KV.method.put,
      { key: bytes(key), value: bytes("v") },
      { timeoutMs: 2_000 },
    );
    return Number(header!.revision);
  });
}

/** Waits until each watch of each of `told` has been told of `revision`. */
async function allTold(revision: number, told: readonly WatchClient[] = clients): Promise<void> {
  const late = (): string[] =>
    told
      .flatMap(({ histories }) => histories)
      .filter((history) => history.live && history.lastChange < revision)
      .map(({ plan, lastChange }) => `${JSON.stringify(plan)} at ${lastChange}`);
  await waitFor(`all watches to be told of ${revision}`, () => {
    if (late().length > 0) throw new Error(late().join("; "));
    return true;
  });
}

async function compact(revision: number): Promise<void> {
  const { endpoint } = cluster.member(0);
  using direct = new GrpcClient(endpoint);
  await truth.extend(endpoint);
  truth.compactRevision = revision;
  await direct.unary(KV.method.compact, { revision: BigInt(revision), physical: true });
}

async function violations(): Promise<string[]> {
  await truth.extend(cluster.members.find((member) => member.running)!.endpoint);
  return clients.flatMap((client) => [
    ...client.violations,
    ...client.histories.flatMap((history) => violationsOf(history, truth)),
  ]);
}

/** The member that the proxy's calls go to. */
function memberInUse(): EtcdMember {
  const used = relays.findIndex(({ endpoint }) => endpoint === proxy.endpointInUse);
  if (used === -1) throw new Error("the proxy is connected to no member");
  return cluster.member(used);
}

test(
  "when all members are killed and started again, watches go on, or end with a status",
  async () => {
    await watching(everything);
    await allTold(await put("w/key"));
    await Promise.all(cluster.members.map((member) => member.kill()));
    for (const member of cluster.members) member.restart();
    await cluster.waitHealthy();
    expect(proxy.running).toBe(true);
    await allTold(await put("w/key"));
    expect(await violations()).toEqual([]);
    expect(clients.flatMap(({ ends }) => ends).filter((end) => !end.startsWith(UNAVAILABLE))).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a client learns nothing of the death of a member, but the events: no stream ends, no watch is created again",
  async () => {
    await watching(everything);
    for (let times = 0; times < 3; times++) {
      await allTold(await put("w/key"));
      const member = await waitFor("the member in use", memberInUse);
      await member.kill();
      await put("w/key");
      member.restart();
      await cluster.waitHealthy();
      await allTold(await put("w/key"));
    }
    expect(await violations()).toEqual([]);
    expect(clients.flatMap(({ ends }) => ends)).toEqual([]);
    const created = clients.flatMap(({ histories }) =>
      histories.map(({ entries }) => entries.filter(({ kind }) => kind === "created").length),
    );
    expect(created).toEqual(created.map(() => 1));
  },
  TIMEOUT_MS,
);

test(
  "a compaction does nothing to watches that are up to date, also when the proxy's connection is lost then",
  async () => {
    await watching(everything);
    const revision = await put("w/key");
    await allTold(revision);
    await compact(revision);
    await allTold(await put("w/key"));
    for (const relay of relays) relay.cut();
    await allTold(await put("w/key"));
    expect(await violations()).toEqual([]);
    expect(clients.flatMap(({ ends }) => ends)).toEqual([]);
  },
  TIMEOUT_MS,
);

// Earlier members cannot prove that nothing has happened (their progress answers overtake events).
testSince(
  "3.5.8",
  "a watch of a range where nothing happens, and whose client was told so, outlives a compaction and a lost connection",
  async () => {
    await watching([prefixed("quiet/"), prefixed("w/")]);
    for (let times = 0; times < 5; times++) await put("w/key");
    const revision = await put("w/key");
    await waitFor("progress to be told", () => {
      for (const client of clients) client.askProgress();
      return clients.every(({ histories }) => histories[0]!.seenRevision >= revision);
    });
    await compact(revision);
    for (const relay of relays) relay.cut();
    const quiet = await put("quiet/key");
    await waitFor("the quiet ones to be told", () =>
      clients.every(({ histories }) => histories[0]!.lastChange === quiet),
    );
    expect(await violations()).toEqual([]);
  },
  TIMEOUT_MS,
);

const losses: readonly (readonly [what: string, inUse: boolean])[] = [
  ["the member in use stays alone", false],
  ["the member in use is among the dead", true],
];

test.each(losses)(
  "without a quorum the streams that asked for a leader end, and no others (%s)",
  async (_what, inUse) => {
    const demanding = await watching(everything, { requireLeader: true });
    const patient = await watching(everything);
    await allTold(await put("w/key"));
    const used = await waitFor("the member in use", memberInUse);
    const others = cluster.members.filter((member) => member !== used);
    const dead = inUse ? [used, others[0]!] : others;
    await Promise.all(dead.map((member) => member.kill()));
    await waitFor("the streams that asked to end", () => demanding.every(({ ends }) => ends.length > 0));
    for (const { ends } of demanding) expect(ends[0]).toBe(`${UNAVAILABLE}etcdserver: no leader`);
    for (const member of dead) member.restart();
    await cluster.waitHealthy();
    await allTold(await put("w/key"));
    expect(await violations()).toEqual([]);
    expect(patient.flatMap(({ ends }) => ends)).toEqual([]);
  },
  TIMEOUT_MS,
);
