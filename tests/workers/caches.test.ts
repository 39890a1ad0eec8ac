/**
 * The caches of several workers: what a client of one was told of, a client of any other reads.
 *
 * There is one member, so that it answers no serializable read from the past: what is old came out of a cache.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Auth } from "../../src/gen/etcdserverpb/auth_pb.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Accounts } from "../e2e/watch/accounts.ts";
import { WatchStream } from "../e2e/watch/watch-stream.ts";
import { bytes } from "../e2e/methods/side.ts";
import { prefixOf, ReadClient, SERIALIZABLE } from "../e2e/reads/read-client.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { valueOf } from "../harness/exposition.ts";
import { WorkerScene } from "./worker-scene.ts";

setDefaultTimeout(120_000);

const WORKERS = 3;
const ROUNDS = 15;
/** A cache that forgets nothing by itself while the test looks. */
const LASTING = "--cache-max-age=10m";

let cluster: EtcdCluster;
let scene: WorkerScene;
/** One of each worker. */
let clients: ReadClient[];
let direct: ReadClient;

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  scene = await WorkerScene.start(cluster.endpoints, WORKERS, [LASTING]);
  clients = await scene.clientOfEach();
  direct = new ReadClient(cluster.member(0).endpoint);
}, 120_000);
afterAll(async () => {
  direct[Symbol.dispose]();
  await scene[Symbol.asyncDispose]();
  await cluster.dispose();
});

async function hits(): Promise<number> {
  return valueOf(await scene.metrics(), "etcd_grpc_proxy_cache_hits_total");
}

/** What every worker answers about the key, which its cache may hold. */
function valueAtEach(key: string): Promise<(string | undefined)[]> {
  return Promise.all(clients.map((client) => client.get(key, SERIALIZABLE)));
}

/** Has every worker's cache hold what the key is now, and shows that it does. */
async function cachedAtEach(key: string, value: string | undefined): Promise<void> {
  const all = clients.map(() => value);
  expect(await valueAtEach(key)).toEqual(all);
  const before = await hits();
  expect(await valueAtEach(key)).toEqual(all);
  expect((await hits()) - before).toBe(WORKERS);
}

/** In turn each worker does something about `key` that leaves `value` there; then all of them are read through. */
async function seenAtEach(
  key: string,
  act: (client: ReadClient, round: number) => Promise<string | undefined>,
): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const before = `before ${round}`;
    await direct.put(key, before);
    // Nobody was told of that: what is cached may be older, until all ask anew.
    await clients[0]!.put(key, before);
    await cachedAtEach(key, before);
    const value = await act(clients[round % WORKERS]!, round);
    expect(await valueAtEach(key)).toEqual(clients.map(() => value));
  }
}

test("a Put through one worker is read through every other", () =>
  seenAtEach("put/key", async (client, round) => {
    await client.put("put/key", `put ${round}`);
    return `put ${round}`;
  }));

test("a Txn through one worker is read through every other", () =>
  seenAtEach("txn/key", async (client, round) => {
    const value = `txn ${round}`;
    const put = { key: bytes("txn/key"), value: bytes(value) };
    await client.grpc.unary(KV.method.txn, {
      success: [{ request: { case: "requestPut", value: put } }],
    });
    return value;
  }));

test("a DeleteRange through one worker is read through every other", () =>
  seenAtEach("deleted/key", async (client) => {
    const { key, rangeEnd = "" } = prefixOf("deleted/");
    await client.grpc.unary(KV.method.deleteRange, { key: bytes(key), rangeEnd: bytes(rangeEnd) });
    return undefined;
  }));

test("a LeaseRevoke through one worker is read through every other", () =>
  seenAtEach("leased/key", async (client) => {
    const { ID } = await direct.grpc.unary(Lease.method.leaseGrant, { TTL: 600n });
    // Past the proxy, which so far knows nothing of the lease; then what is cached is the leased key.
    await direct.grpc.unary(KV.method.put, { key: bytes("leased/key"), value: bytes("leased"), lease: ID });
    await clients[0]!.put("leased/other", "drops nothing of the key");
    await client.grpc.unary(Lease.method.leaseRevoke, { ID });
    return undefined;
  }));

test("an event that a watch through one worker has told of is read through every other", async () => {
  const key = "watched/key";
  const streams = clients.map((client) => new WatchStream(client.grpc));
  const told = await Promise.all(streams.map((stream) => stream.open({ key })));
  for (let round = 0; round < ROUNDS; round++) {
    await clients[0]!.put(key, `before ${round}`);
    await cachedAtEach(key, `before ${round}`);
    // Past the proxy: only the watches tell.
    await direct.put(key, `event ${round}`);
    const [stream, { watchId }] = [streams[round % WORKERS]!, told[round % WORKERS]!];
    await stream.until("the event", () => stream.seen(watchId).at(-1)?.includes(`event ${round}`));
    expect(await valueAtEach(key)).toEqual(clients.map(() => `event ${round}`));
  }
  for (const stream of streams) stream[Symbol.dispose]();
});

test("a range that was cached shows a write through another worker", async () => {
  const range = prefixOf("range/");
  for (let round = 0; round < ROUNDS; round++) {
    const counts = (): Promise<bigint[]> =>
      Promise.all(clients.map(async (client) => (await client.range(range, SERIALIZABLE)).count));
    await counts();
    await clients[round % WORKERS]!.put(`range/${round}`, "");
    expect(await counts()).toEqual(clients.map(() => BigInt(round + 1)));
  }
});

test("a permission that was taken away through one worker is gone at every other", async () => {
  const key = "secret/key";
  const accounts = new Accounts(direct.grpc);
  await accounts.addRoot();
  await accounts.addRole("reading", [prefixOf("secret/")]);
  await accounts.addUser("reader");
  await accounts.grantRole("reader", "reading");
  await direct.put(key, "secret");
  await accounts.enable();
  try {
    for (let worker = 0; worker < WORKERS; worker++) {
      const metadata = { ...(await accounts.logIn("reader")) };
      const root = { metadata: { ...(await accounts.logIn("root")) } };
      const readers = await scene.clientOfEach(metadata);
      const readAtEach = (): Promise<string[]> =>
        Promise.all(
          readers.map((reader) =>
            reader.get(key, SERIALIZABLE).then(
              (value) => value ?? "nothing",
              (error: Error) => error.message,
            ),
          ),
        );
      await readAtEach();
      const before = await hits();
      expect(await readAtEach()).toEqual(readers.map(() => "secret"));
      expect((await hits()) - before).toBe(WORKERS);
      const change = { name: "reader", role: "reading" };
      await clients[worker]!.grpc.unary(Auth.method.userRevokeRole, change, root);
      // A change of users makes tokens old, too: etcd says the one or the other.
      const refused = await readAtEach();
      expect(refused.filter((outcome) => outcome === "secret")).toEqual([]);
      await accounts.grantRole("reader", "reading");
    }
  } finally {
    await accounts.disable();
  }
});
