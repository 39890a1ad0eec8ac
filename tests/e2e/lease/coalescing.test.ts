/** What heartbeats through the grpc-proxy cost the cluster, and that nobody notices when a member is lost. */
import { afterEach, expect, test } from "bun:test";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import type { EtcdMember } from "../../harness/etcd-member.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { useTargets } from "../targets.ts";
import { LeaseStream } from "./lease-stream.ts";
import { upstreamHeartbeats, waitForStreams } from "./upstream-heartbeats.ts";

const targets = useTargets();

const CONNECTIONS = 10;
const STREAMS = 500;
const TTL_SECONDS = 60n;
const TIMEOUT_MS = 120_000;

afterEach(async () => {
  for (const member of targets.cluster.members) if (!member.running) member.restart();
  await targets.cluster.waitHealthy();
});

/** Client streams to a proxy, on some connections. */
class Crowd implements Disposable {
  readonly clients: readonly GrpcClient[];
  readonly streams: readonly LeaseStream[];

  constructor(address: string, streams: number) {
    this.clients = Array.from({ length: CONNECTIONS }, () => new GrpcClient(address));
    this.streams = Array.from(
      { length: streams },
      (_, at) => new LeaseStream(this.clients[at % CONNECTIONS]!),
    );
  }

  [Symbol.dispose](): void {
    for (const stream of this.streams) stream.cancel();
    for (const client of this.clients) client[Symbol.dispose]();
  }
}

async function grant(count: number): Promise<bigint[]> {
  using client = new GrpcClient(targets.cluster.member(0).endpoint);
  const grants = Array.from({ length: count }, () =>
    client.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS }),
  );
  return (await Promise.all(grants)).map(({ ID }) => ID);
}

function memberUsedBy(proxy: EtcdproxyProcess): EtcdMember | undefined {
  return targets.cluster.members.find(({ endpoint }) => endpoint === proxy.endpointInUse);
}

test("500 client streams are one stream at the cluster, and none is left when they have gone", async () => {
  await waitForStreams(targets.cluster, 0);
  const ids = await grant(STREAMS);
  {
    using crowd = new Crowd(targets.grpcProxy.address, STREAMS);
    const before = await upstreamHeartbeats(targets.cluster);
    for (const [index, stream] of crowd.streams.entries()) stream.send(ids[index]!);
    for (const stream of crowd.streams) expect((await stream.answered()).TTL).toBe(TTL_SECONDS);
    const after = await upstreamHeartbeats(targets.cluster);
    expect([after.streams, after.heartbeats - before.heartbeats]).toEqual([1, STREAMS]);
  }
  await waitForStreams(targets.cluster, 0);
});

test("heartbeats of 500 client streams for one lease are few at the cluster, and the proxy adds none", async () => {
  const [id = 0n] = await grant(1);
  using crowd = new Crowd(targets.grpcProxy.address, STREAMS);
  for (const stream of crowd.streams) await stream.beat(id);
  const before = await upstreamHeartbeats(targets.cluster);
  for (const stream of crowd.streams) stream.send(id);
  for (const stream of crowd.streams) expect((await stream.answered()).TTL).toBe(TTL_SECONDS);
  const after = await upstreamHeartbeats(targets.cluster);
  const heartbeats = after.heartbeats - before.heartbeats;
  expect(heartbeats).toBeGreaterThan(0);
  expect(heartbeats).toBeLessThan(STREAMS / 2);
  // Far longer than any interval at which a proxy could prolong leases by itself would leave room for none.
  using direct = new GrpcClient(targets.cluster.member(0).endpoint);
  await waitFor("the lease to have lost two seconds", async () => {
    const { TTL } = await direct.unary(Lease.method.leaseTimeToLive, { ID: id });
    return TTL <= TTL_SECONDS - 2n;
  });
  expect(await upstreamHeartbeats(targets.cluster)).toEqual(after);
});

test("identities have a stream each, so do those who require a leader", async () => {
  await waitForStreams(targets.cluster, 0);
  const [id = 0n] = await grant(1);
  using client = new GrpcClient(targets.grpcProxy.address);
  const metadata = [{}, { token: "a" }, { token: "b" }, { authorization: "b" }, { hasleader: "true" }];
  const streams = metadata.map((fields) => new LeaseStream(client, { metadata: fields }));
  for (const stream of streams) await stream.beat(id);
  expect((await upstreamHeartbeats(targets.cluster)).streams).toBe(4);
  for (const stream of streams) stream.cancel();
  await waitForStreams(targets.cluster, 0);
});

test(
  "a member that is killed is noticed by no client: every heartbeat is answered, no stream ends",
  async () => {
    await using proxy = await startGrpcProxy(targets.cluster.endpoints);
    const ids = await grant(50);
    using crowd = new Crowd(proxy.address, 50);
    const stop = new AbortController();
    let answers = 0;
    const beating = crowd.streams.map(async (stream, index) => {
      while (!stop.signal.aborted) {
        expect((await stream.beat(ids[index]!)).TTL).toBe(TTL_SECONDS);
        answers++;
      }
    });
    const progress = (count: number): Promise<unknown> => {
      const from = answers;
      return waitFor(`${count} more answers`, () => answers >= from + count);
    };
    await progress(500);
    const used = memberUsedBy(proxy)!;
    await used.kill();
    await progress(500);
    await waitFor("another member", () => memberUsedBy(proxy) !== used);
    stop.abort();
    await Promise.all(beating);
    expect(crowd.streams.map(({ status }) => status).filter((status) => status !== undefined)).toEqual([]);
    await waitForStreams(targets.cluster, 1);
  },
  TIMEOUT_MS,
);

test(
  "while no member can be reached a heartbeat ends UNAVAILABLE with the reasons, and idle streams go on",
  async () => {
    await using proxy = await startGrpcProxy([targets.cluster.member(0).endpoint]);
    const [id = 0n] = await grant(1);
    using client = new GrpcClient(proxy.address);
    using asking = new LeaseStream(client);
    using idle = new LeaseStream(client);
    for (const stream of [asking, idle]) await stream.beat(id);
    await targets.cluster.member(0).kill();
    asking.send(id);
    const { code, details } = await asking.over();
    expect(code).toBe(14);
    expect(details).toStartWith(
      `etcdproxy: no member can be reached (${targets.cluster.member(0).endpoint}: `,
    );
    expect(idle.status).toBeUndefined();
    targets.cluster.member(0).restart();
    await targets.cluster.waitHealthy();
    expect((await idle.beat(id)).ID).toBe(id);
  },
  TIMEOUT_MS,
);

test("with --lease-coalescing=false each client stream is one of the cluster's", async () => {
  await waitForStreams(targets.cluster, 0);
  await using proxy = await startGrpcProxy(targets.cluster.endpoints, ["--lease-coalescing=false"]);
  const [id = 0n] = await grant(1);
  using crowd = new Crowd(proxy.address, 20);
  for (const stream of crowd.streams) await stream.beat(id);
  const { streams } = await upstreamHeartbeats(targets.cluster);
  expect(streams).toBe(20);
});
