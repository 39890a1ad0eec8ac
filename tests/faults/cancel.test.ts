/**
 * Calls that their clients give up leave nothing behind, neither upstream nor in the proxy.
 *
 * The wire between proxy and member decides: each stream that the proxy opened there is reset or was answered.
 * The member's own count says the same of all calls but locks: the Lock calls of a member wait on one watch stream
 * within its process, and when many are cancelled at once the two ends of that stream can block each other. Some
 * of the calls then never end there (etcd-io/etcd#13336; 3.4.23 and 3.7.3 do it without any proxy).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Lock } from "../../src/gen/v3lockpb/lock_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { MIB } from "./memory.ts";
import { openStreams, startedCalls } from "./open-streams.ts";
import { type RawCall, RawClient } from "./raw-client.ts";
import { StreamRecord } from "./stream-record.ts";

/** Each wave is as many watches, locks and reads; all waves make 10 000 calls. */
const WAVES = 10;
const CALLS_OF_A_KIND = 334;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** All that goes to the member goes through the relay. */
const record = new StreamRecord();
let cluster: EtcdCluster;
let relay: TcpRelay;
let proxy: EtcdproxyProcess;
/** Holds the lock that the others wait for. */
let holder: RawClient;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  relay = new TcpRelay(cluster.member(0).endpoint, { tap: record.tap });
  proxy = await startGrpcProxy([relay.endpoint]);
  holder = await RawClient.connect(relay.endpoint);
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
  relay[Symbol.dispose]();
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
    const open = record.open();
    // The watches share one call.
    if (open["Lock"] !== CALLS_OF_A_KIND || open["Watch"] !== 1) throw new Error(JSON.stringify(open));
    const { begun } = record;
    const started = await startedCalls(cluster.member(0).endpoint);
    return started["Lock"] === begun["Lock"] && started["Watch"] === begun["Watch"];
  });
  const reads = Array.from({ length: CALLS_OF_A_KIND }, () => {
    const read = client.call(KV.method.range, { key: bytes("any") });
    read.halfClose();
    return read;
  });
  return [...watches, ...locks, ...reads];
}

async function nothingLeft(): Promise<void> {
  await waitFor("no stream upstream", () => isEmpty(record.open()));
  await waitFor("no call but locks at the member", async () => {
    const { Lock: _, ...open } = await openStreams(cluster.member(0).endpoint);
    return isEmpty(open);
  });
}

/** @throws Error with the calls that there are. */
function isEmpty(open: Readonly<Record<string, number>>): true {
  if (Object.keys(open).length > 0) throw new Error(JSON.stringify(open));
  return true;
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
