/**
 * Members that are there and do not serve: stopped, cut off, without a leader, learners. Both products leave them in time, and
 * go on with what there is when nobody is better.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { ensureBuilt, type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { moveLeaderTo } from "./leader.ts";
import { bytes } from "./methods/side.ts";

setDefaultTimeout(90_000);

/** The promise: a member that serves nobody is left within this time. */
const LEFT_WITHIN_MS = 3_000;
/** How much later this process may see it: it looks now and then, and shares its cores. */
const SEEN_LATE_MS = 1_000;
const TRIES = 3;

let cluster: EtcdCluster;
let relays: TcpRelay[];
beforeAll(async () => {
  await ensureBuilt();
  cluster = await startEtcdCluster({ members: 3, relayedPeers: true });
  relays = cluster.endpoints.map((endpoint) => new TcpRelay(endpoint));
}, 120_000);
afterAll(async () => {
  for (const relay of relays) relay[Symbol.dispose]();
  await cluster.dispose();
});

const behindRelays = (): string[] => relays.map(({ endpoint }) => endpoint);

function indexInUse(proxy: EtcdproxyProcess): number {
  return relays.findIndex(({ endpoint }) => endpoint === proxy.endpointInUse);
}

/** Runs `fault` on the member in use, and tells how long the proxy takes to be connected to another one. */
async function leftAfterMs(proxy: EtcdproxyProcess, fault: (index: number) => unknown): Promise<number> {
  const used = await waitFor("the member in use", () => indexInUse(proxy) !== -1 && [indexInUse(proxy)]);
  await fault(used[0]!);
  const startedMs = performance.now();
  await waitFor("another member", () => indexInUse(proxy) !== used[0]);
  return performance.now() - startedMs;
}

/** Waits until the proxy has checked every member: a verdict needs no time to be formed for the first time then. */
async function settled(proxy: EtcdproxyProcess): Promise<void> {
  await waitFor("a connection to each member", () => relays.every(({ connections }) => connections > 0));
  expect(proxy.running).toBe(true);
}

describe("grpcProxy: the member in use is left within three seconds", () => {
  test("when it is stopped; a read that it has not answered is answered by another", async () => {
    for (let tried = 0; tried < TRIES; tried++) {
      await using proxy = await startGrpcProxy(behindRelays());
      await settled(proxy);
      using client = new GrpcClient(proxy.address);
      // A leader that is stopped costs an election, and reads meanwhile may be told so.
      const leader = cluster.member((indexInUse(proxy) + 1) % relays.length);
      await moveLeaderTo(cluster, leader);
      let read: Promise<unknown> | undefined;
      let stopped: EtcdMember | undefined;
      try {
        const leftMs = await leftAfterMs(proxy, (index) => {
          stopped = cluster.member(index);
          stopped.stop();
          read = client.unary(KV.method.range, { key: bytes("stopped") });
        });
        expect(leftMs).toBeLessThan(LEFT_WITHIN_MS + SEEN_LATE_MS);
        await read;
      } finally {
        stopped?.continue();
        await cluster.waitHealthy();
      }
    }
  });

  test("when nothing passes between them any more", async () => {
    await using proxy = await startGrpcProxy(behindRelays());
    await settled(proxy);
    using client = new GrpcClient(proxy.address);
    let read: Promise<unknown> | undefined;
    const leftMs = await leftAfterMs(proxy, (index) => {
      relays[index]!.stall();
      read = client.unary(KV.method.range, { key: bytes("stalled") });
    });
    expect(leftMs).toBeLessThan(LEFT_WITHIN_MS + SEEN_LATE_MS);
    await read;
    for (const relay of relays) relay.pass();
  });

  test("once it has no leader, being cut off from the others; a read that waits there is answered by another", async () => {
    await using proxy = await startGrpcProxy(behindRelays());
    await settled(proxy);
    await moveLeaderTo(cluster, cluster.member((indexInUse(proxy) + 1) % relays.length));
    using client = new GrpcClient(proxy.address);
    let read: Promise<unknown> | undefined;
    let cutOff: EtcdMember | undefined;
    const leftMs = await leftAfterMs(proxy, async (index) => {
      cutOff = cluster.member(index);
      await cluster.isolate(cutOff);
      read = client.unary(KV.method.range, { key: bytes("leaderless") });
      using direct = new GrpcClient(cutOff.endpoint);
      await waitFor("the loss of the leader", async () => {
        return (await direct.unary(Maintenance.method.status, {})).leader === 0n;
      });
    });
    expect(leftMs).toBeLessThan(LEFT_WITHIN_MS + SEEN_LATE_MS);
    expect(proxy.log.find(({ reason }) => reason === "has no leader")).toBeDefined();
    await read;
    cluster.rejoin(cutOff!);
    await cluster.waitHealthy();
  });
});

test("grpcProxy: a black-holed endpoint costs nobody a dial once the checks have found it", async () => {
  await using proxy = await startGrpcProxy(behindRelays());
  await settled(proxy);
  using client = new GrpcClient(proxy.address);
  const used = indexInUse(proxy);
  const hole = (used + 1) % relays.length;
  relays[hole]!.stall();
  await proxy.loggedWhere("the verdict", ({ msg, endpoint }) => {
    return msg === "a member fails its checks" && endpoint === relays[hole]!.endpoint;
  });
  // Two members are left: whichever is lost, the hole is not tried before the other.
  relays[used]!.refuse();
  await client.unary(KV.method.range, { key: bytes("hole") });
  expect(indexInUse(proxy)).toBe((used + 2) % relays.length);
  for (const relay of relays) relay.pass();
});

test("grpcProxy: when no member has a leader, the one in use stays, and serializable reads go on", async () => {
  await using proxy = await startGrpcProxy(behindRelays(), ["--cache=false"]);
  await settled(proxy);
  using client = new GrpcClient(proxy.address);
  await client.unary(KV.method.put, { key: bytes("alone"), value: bytes("value") });
  const used = indexInUse(proxy);
  const others = cluster.members.filter((_, index) => index !== used);
  await waitFor("the write on this member", async () => {
    using direct = new GrpcClient(cluster.member(used).endpoint);
    const { kvs } = await direct.unary(KV.method.range, { key: bytes("alone"), serializable: true });
    return kvs.length === 1;
  });
  await Promise.all(others.map((member) => member.kill()));
  await proxy.loggedWhere("the loss of the leader", ({ reason }) => reason === "has no leader");
  const { kvs } = await client.unary(KV.method.range, { key: bytes("alone"), serializable: true });
  expect(kvs).toHaveLength(1);
  expect(indexInUse(proxy)).toBe(used);
  for (const member of others) member.restart();
  await cluster.waitHealthy();
});

test.each(["round-robin", "weighted"])(
  "grpcProxy: with --balancer=%s calls go to all members",
  async (balancer) => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [`--balancer=${balancer}`]);
    using client = new GrpcClient(proxy.address);
    const memberIds = new Set<bigint>();
    await waitFor("an answer of each member", async () => {
      const { header } = await client.unary(KV.method.put, { key: bytes("spread"), value: bytes("value") });
      memberIds.add(header!.memberId);
      const read = await client.unary(KV.method.range, { key: bytes("spread") });
      memberIds.add(read.header!.memberId);
      return memberIds.size === cluster.members.length;
    });
  },
);

test("grpcProxy: a learner is left as soon as a voting member can be reached", async () => {
  await using own = await startEtcdCluster({ members: 1 });
  const learner = await own.addMember("learner");
  using voter = new TcpRelay(own.member(0).endpoint);
  voter.refuse();
  await using proxy = await startGrpcProxy([learner.endpoint, voter.endpoint]);
  await waitFor("the learner", () => proxy.endpointInUse === learner.endpoint);
  voter.pass();
  await waitFor("the voting member", () => proxy.endpointInUse === voter.endpoint);
  expect(proxy.log.find(({ reason }) => reason === "is a learner")).toMatchObject({
    endpoint: learner.endpoint,
  });
  using client = new GrpcClient(proxy.address);
  await client.unary(KV.method.put, { key: bytes("learner"), value: bytes("value") });
});
