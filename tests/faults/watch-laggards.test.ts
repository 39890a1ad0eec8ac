/** Clients that read slowly, late or never: what they lose (nothing), what they cost, and whom they hold up (nobody). */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { MIB } from "./memory.ts";
import { RawClient } from "./raw-client.ts";
import { WatchClient } from "./watch-client.ts";
import { violationsOf, type WatchHistory } from "./watch-history.ts";
import { prefixed } from "./watch-plan.ts";
import { upstreamWatches, UpstreamWatchPeak, watchRequests } from "./watch-metrics.ts";

const TIMEOUT_MS = 60_000;
const WINDOW_BYTES = 65_535;
const VALUE = new Uint8Array(100 * 1024).fill(0x61);
/** Values of `VALUE` that are more than a client's window and its queue in the proxy take. */
const MORE_THAN_QUEUED = 20;
const CATCH_UPS_MAX = 16;
const ROUNDS = 8;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
let truth: ClusterHistory;
let direct: GrpcClient;
let clients: WatchClient[];
beforeEach(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  proxy = await startGrpcProxy(cluster.endpoints);
  direct = new GrpcClient(cluster.member(0).endpoint);
  truth = await ClusterHistory.begin(cluster.member(0).endpoint);
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  direct.close();
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

function newClient(): WatchClient {
  const client = new WatchClient(proxy.address, { windowBytes: WINDOW_BYTES });
  clients.push(client);
  return client;
}

async function put(key: string, value: Uint8Array = VALUE): Promise<number> {
  const { header } = await direct.unary(KV.method.put, { key: bytes(key), value });
  return Number(header!.revision);
}

/** Puts `count` large values under `prefix`. Resolves to the last revision. */
async function putMany(prefix: string, count: number): Promise<number> {
  let revision = 0;
  for (let index = 0; index < count; index++) revision = await put(`${prefix}${index % 40}`);
  return revision;
}

async function toldUpTo(revision: number, histories: readonly WatchHistory[]): Promise<void> {
  await waitFor(`${histories.length} watches to be told of ${revision}`, () => {
    const late = histories.filter(({ lastChange }) => lastChange < revision);
    if (late.length > 0) throw new Error(`${late.length} are late, the first is at ${late[0]!.lastChange}`);
    return true;
  });
}

async function compact(revision: number): Promise<void> {
  await truth.extend(cluster.member(0).endpoint);
  truth.compactRevision = revision;
  await direct.unary(KV.method.compact, { revision: BigInt(revision), physical: true });
}

async function violations(): Promise<string[]> {
  await truth.extend(cluster.member(0).endpoint);
  return clients.flatMap((client) => [
    ...client.violations,
    ...client.histories.flatMap((history) => violationsOf(history, truth)),
  ]);
}

test(
  "a client that never reads again costs its bound and no more, holds no watch upstream, and slows nobody",
  async () => {
    const count = 24;
    const reader = newClient();
    const history = reader.open(prefixed("bulk/"));
    await reader.opened();
    const before = proxy.rssBytes();
    const silent: RawClient[] = [];
    try {
      for (let index = 0; index < count; index++) {
        const client = await RawClient.connect(proxy.address, { windowBytes: WINDOW_BYTES });
        silent.push(client);
        const { key, rangeEnd } = prefixed("bulk/");
        const value = { key: bytes(key), rangeEnd: bytes(rangeEnd) };
        const call = client.call(
          Watch.method.watch,
          { requestUnion: { case: "createRequest", value } },
          () => false,
        );
        await call.begun;
      }
      await toldUpTo(await putMany("bulk/", 60), [history]);
      expect(proxy.rssBytes() - before).toBeLessThan(count * 2 * MIB + 64 * MIB);

      const rss: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await toldUpTo(await putMany("bulk/", 60), [history]);
        rss.push(proxy.rssBytes());
      }
      // The first half warms up: pools and the heap find their size. What came after would be 560 MiB.
      const warm = Math.max(...rss.slice(0, ROUNDS / 2));
      expect(Math.max(...rss.slice(ROUNDS / 2)) - warm).toBeLessThan(48 * MIB);
      await waitFor("the one shared watch", async () => (await upstreamWatches(cluster)) === 1);
      expect(await violations()).toEqual([]);
    } finally {
      for (const client of silent) client.cut();
    }
  },
  TIMEOUT_MS,
);

test(
  "2000 laggards on one range cost at most 16 watches upstream, and each is told all in the end",
  async () => {
    const streams = 50;
    const watches = 40;
    await putMany("lag/", MORE_THAN_QUEUED);
    // On each stream a watch of large values fills the queue, so that all the others fall behind with it.
    for (let index = 0; index < streams; index++) {
      const client = newClient();
      client.open(prefixed("fat/"));
      for (let watch = 0; watch < watches; watch++) client.open(prefixed("lag/"));
    }
    // One that reads wants the deleted values: small as the laggards' events are, the proxy cannot keep them all.
    const reader = newClient();
    const read = reader.open({ ...prefixed("lag/"), prevKv: true });
    for (const client of clients) await client.opened();
    await waitFor("the shared watches alone", async () => (await upstreamWatches(cluster)) === 2);

    const requests = await watchRequests(cluster);
    const peak = new UpstreamWatchPeak(cluster);
    const lagging = clients.slice(0, streams);
    for (const [index, client] of lagging.entries()) {
      client.pause();
      if (index % 10 === 9) await put("lag/between", bytes("v"));
    }
    await putMany("fat/", MORE_THAN_QUEUED);
    let last = 0;
    for (let index = 0; index < MORE_THAN_QUEUED; index++) {
      const { header } = await direct.unary(KV.method.deleteRange, { key: bytes(`lag/${index}`) });
      last = Number(header!.revision);
    }
    await toldUpTo(last, [read]);
    for (const client of lagging) client.resume();
    const fat = await put("fat/last", bytes("v"));
    const lag = await put("lag/last", bytes("v"));
    await toldUpTo(
      fat,
      lagging.map(({ histories }) => histories[0]!),
    );
    await toldUpTo(
      lag,
      lagging.flatMap(({ histories }) => histories.slice(1)),
    );
    expect(await peak.stop()).toBeLessThanOrEqual(2 + CATCH_UPS_MAX);
    expect(await watchRequests(cluster)).toBeGreaterThan(requests); // They did fall behind.
    await waitFor("the shared watches alone", async () => (await upstreamWatches(cluster)) === 2);
    expect(await violations()).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "one revision of 4 MiB comes whole to 30 watches on as many streams, and makes none of them lag",
  async () => {
    for (let index = 0; index < 30; index++) newClient().open({ ...prefixed("large/"), prevKv: true });
    for (const client of clients) await client.opened();
    const all = clients.flatMap(({ histories }) => histories);
    // One after the other, so that nobody lags before it begins.
    for (let index = 0; index < 40; index++) await toldUpTo(await put(`large/${index}`), all);
    const requests = await watchRequests(cluster);
    const peak = new UpstreamWatchPeak(cluster);
    const { key, rangeEnd } = prefixed("large/");
    const range = { key: bytes(key), rangeEnd: bytes(rangeEnd) };
    const { header } = await direct.unary(KV.method.deleteRange, range);
    await toldUpTo(Number(header!.revision), all);
    expect(await peak.stop()).toBe(1);
    expect(await watchRequests(cluster)).toBe(requests);
    expect(await violations()).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a client that paused while what it had missed was compacted is told so, in etcd's words, and nothing wrong before",
  async () => {
    const [reader, sleeper] = [newClient(), newClient()];
    const read = reader.open(prefixed("old/"));
    const slept = sleeper.open(prefixed("old/"));
    for (const client of clients) await client.opened();
    await toldUpTo(await put("old/first"), [read, slept]);
    sleeper.pause();
    const revision = await putMany("old/", 100);
    await toldUpTo(revision, [read]);
    await compact(revision);
    sleeper.resume();
    const canceled = await waitFor("the end of the watch", () => slept.canceled);

    // What etcd says to one that comes too late.
    using other = new WatchClient(cluster.member(0).endpoint);
    const late = other.open({ ...prefixed("old/"), startRevision: revision - 1 });
    const { compactRevision, reason } = await waitFor("etcd's own words", () => late.canceled);
    expect([canceled.compactRevision, canceled.reason]).toEqual([compactRevision, reason]);

    // The stream goes on, and so does everybody else.
    const next = sleeper.open(prefixed("old/"));
    await sleeper.opened();
    await toldUpTo(await put("old/next"), [read, next]);
    expect(await violations()).toEqual([]);
    expect(clients.flatMap(({ ends }) => ends)).toEqual([]);
  },
  TIMEOUT_MS,
);
