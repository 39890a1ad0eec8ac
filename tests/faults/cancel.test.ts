/** Calls that their clients give up leave nothing behind, neither at the member nor in the proxy. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Lock } from "../../src/gen/v3lockpb/lock_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { waitFor } from "../harness/wait-for.ts";
import { MIB } from "./memory.ts";
import { openStreams } from "./open-streams.ts";
import { type RawCall, RawClient } from "./raw-client.ts";

/** Each wave is as many watches, locks and reads; all waves make 10 000 calls. */
const WAVES = 10;
const CALLS_OF_A_KIND = 334;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
/** Holds the lock that the others wait for. */
let holder: RawClient;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  proxy = await startGrpcProxy(cluster.endpoints);
  holder = await RawClient.connect(cluster.member(0).endpoint);
  const lease = holder.call(Lease.method.leaseGrant, { TTL: 600n, ID: 77n });
  lease.halfClose();
  await lease.status;
  const lock = holder.call(Lock.method.lock, { name: bytes("busy"), lease: 77n });
  lock.halfClose();
  await lock.status;
});
afterAll(async () => {
  holder.cut();
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

/** Opens one wave of calls and waits until the member has every watch and lock of it. */
async function wave(client: RawClient): Promise<RawCall[]> {
  const watches = Array.from({ length: CALLS_OF_A_KIND }, (_, i) =>
    client.call(Watch.method.watch, {
      requestUnion: { case: "createRequest", value: { key: bytes(`watched${i}`) } },
    }),
  );
  const locks = Array.from({ length: CALLS_OF_A_KIND }, () => {
    const lock = client.call(Lock.method.lock, { name: bytes("busy") });
    lock.halfClose();
    return lock;
  });
  await Promise.all(watches.map(({ begun }) => begun));
  await waitFor("all locks at the member", async () => {
    const open = await openStreams(cluster.member(0).endpoint);
    // The watches share one call.
    return open["Lock"] === CALLS_OF_A_KIND && open["Watch"] === 1;
  });
  const reads = Array.from({ length: CALLS_OF_A_KIND }, () => {
    const read = client.call(KV.method.range, { key: bytes("any") });
    read.halfClose();
    return read;
  });
  return [...watches, ...locks, ...reads];
}

async function nothingLeft(): Promise<void> {
  await waitFor("no call at the member", async () => {
    const open = await openStreams(cluster.member(0).endpoint);
    if (Object.keys(open).length > 0) throw new Error(JSON.stringify(open));
    return true;
  });
}

const endings: readonly (readonly [how: string, end: (client: RawClient, calls: RawCall[]) => void])[] = [
  ["cancels", (_client, calls) => calls.forEach((call) => call.cancel())],
  ["vanishes with", (client) => client.cut()],
];

test.each(endings)(
  "a call that its client %s leaves no stream upstream and no memory",
  async (_how, end) => {
    const rss: number[] = [];
    for (let i = 0; i < WAVES; i++) {
      using client = await RawClient.connect(proxy.address);
      end(client, await wave(client));
      await nothingLeft();
      rss.push(proxy.rssBytes());
    }
    // The first half warms up: pools, tables and the heap find their size.
    const warm = Math.max(...rss.slice(0, WAVES / 2));
    expect(Math.max(...rss.slice(WAVES / 2)) - warm).toBeLessThan(24 * MIB);
  },
  60_000,
);
