/** A process of several workers is registered once, and each worker knows who is. */
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import {
  freeAddresses,
  PREFIX,
  registering,
  Registry,
  startRegistering,
  valueOf,
  waitListed,
} from "../e2e/registration/scene.ts";
import { spawnPiped } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { ensureBuilt, runEtcdproxy } from "../harness/etcdproxy-process.ts";
import { valueOf as metricOf } from "../harness/exposition.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { metricsAt } from "./worker-scene.ts";

setDefaultTimeout(120_000);

const WORKERS = 3;
/** Chance gives connections to workers: of so many, each worker gets some. */
const CONNECTIONS = 40;

let cluster: EtcdCluster;
let registry: Registry;
beforeAll(async () => {
  [cluster] = await Promise.all([startEtcdCluster({ members: 1 }), ensureBuilt()]);
  registry = new Registry(cluster);
}, 120_000);
afterAll(() => cluster.dispose());

/** What the workers answer, each list once. */
async function listsOf(address: string): Promise<string[]> {
  const clients = Array.from({ length: CONNECTIONS }, () => new GrpcClient(address));
  try {
    const lists = await Promise.all(
      clients.map(async (client) => {
        const { members } = await client.unary(Cluster.method.memberList, {});
        return members.flatMap(({ clientURLs }) => clientURLs).join(" and ");
      }),
    );
    return [...new Set(lists)];
  } finally {
    for (const client of clients) client.close();
  }
}

function keysOf(...addresses: string[]): Record<string, string> {
  return Object.fromEntries(addresses.map((address) => [`${PREFIX}/${address}`, valueOf(address)]));
}

test("one key under one lease is the whole process's, and gone with it; every worker lists all proxies", async () => {
  const [address, other] = freeAddresses(2) as [string, string];
  const flags = [...registering(address), `--workers=${WORKERS}`, "--metrics-addr=http://127.0.0.1:0"];
  await using proxy = await startRegistering(cluster.endpoints, address, flags);
  await using single = await startRegistering(cluster.endpoints, other);
  await registry.waitWhole(address, other);
  const both = [address, other].join(" and ");
  await waitFor("every worker to list both", async () => Bun.deepEquals(await listsOf(address), [both]));
  await waitListed(other, [address, other]);
  expect(proxy.log.filter(({ msg }) => msg === "registered")).toMatchObject([{ worker: 0 }]);
  const { address: metricsUrl } = await proxy.logged("listening for metrics");
  const metrics = await metricsAt(String(metricsUrl));
  expect(metricOf(metrics, "etcdproxy_registered")).toBe(1);
  expect(metricOf(metrics, "etcdproxy_registered_proxies")).toBe(2);

  await single.stop();
  await waitFor("no worker to list the other", async () => Bun.deepEquals(await listsOf(address), [address]));
  // Every worker has clients that it will tell to go.
  using clients = new DisposableStack();
  for (let count = 0; count < CONNECTIONS; count++) {
    await clients.use(new GrpcClient(address)).unary(Cluster.method.memberList, {});
  }
  expect(await proxy.stop()).toBe(0);
  expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
  const messages = proxy.log.map(({ msg }) => msg);
  const draining = messages.findIndex((message) => message.startsWith("drain"));
  // Taken back before any worker's clients are told to go; whichever has one.
  expect(messages.indexOf("no longer registered")).toBeWithin(
    0,
    draining === -1 ? messages.length : draining,
  );
  expect(messages.filter((message) => message === "no longer registered")).toHaveLength(1);
});

test("what contradicts itself is refused in one line", async () => {
  const flags = ["--listen-addr=127.0.0.1:0", "--resolver-ttl=60", "--workers=2"];
  const { code, stderr } = await runEtcdproxy(["grpc-proxy", "start", ...flags]);
  expect([code, stderr]).toEqual([
    1,
    "etcdproxy: --resolver-ttl=60 needs --resolver-prefix: name what the proxies share\n",
  ]);
});

test("workers that die take the registration with them for no moment, and leave no lease", async () => {
  using folder = new TemporaryFolder("deaths");
  const death = folder.file("die");
  const [address] = freeAddresses(1) as [string];
  const program = fileURLToPath(new URL("mortal-proxy.ts", import.meta.url));
  const serving = [`--listen-addr=${address}`, `--endpoints=${cluster.endpoints[0]}`, `--workers=2`];
  const child = spawnPiped(
    [process.execPath, program, "grpc-proxy", "start", ...serving, ...registering(address, 20)],
    { env: { ETCDPROXY_TEST_DEATH: death } },
  );
  const stderr = new LineLog("the proxy", child.stderr);
  const count = (message: string): number =>
    stderr.lines.filter((line) => line.includes(`"msg":"${message}"`)).length;
  try {
    await waitFor("all workers to serve", () => count("started gRPC proxy") === 1);
    await registry.waitWhole(address);
    const leases = await registry.leases();
    // Chance says which worker dies: it ends when the one that registers has.
    let registered = 1;
    for (let deaths = 1; registered < 3; deaths++) {
      writeFileSync(death, "");
      await waitFor("a death", () => !existsSync(death));
      const missing: unknown[] = [];
      await waitFor("its successor", async () => {
        const keys = await registry.keys();
        if (!Bun.deepEquals(keys, keysOf(address))) missing.push(keys);
        return count("a worker has started again") === deaths;
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}; the log ends:\n${stderr.lines.slice(-8).join("\n")}`);
      });
      expect(missing).toEqual([]);
      const died = stderr.lines.findLast((line) => line.includes("a worker has died"))!;
      if ((JSON.parse(died) as { worker: number }).worker === 0) registered++;
      await waitFor("the registration to be taken over", () => count("registered") === registered);
      expect([await registry.keys(), await registry.leases()]).toEqual([keysOf(address), leases]);
    }
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});
