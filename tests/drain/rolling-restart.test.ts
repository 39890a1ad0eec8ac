/**
 * Two proxies are restarted in turn, again and again, behind clients that know both: what is acknowledged is there once,
 * reads do not fail, watches miss and repeat nothing, and leases live on. The clients are etcd's own Go library, which
 * decides itself what it repeats, and @grpc/grpc-js with a policy that repeats reads.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { beyondUnavailable, Load } from "../e2e/load.ts";
import { connectionsTo } from "../e2e/sockets.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startProxy } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { bytes } from "./drain-scene.ts";
import { SteadyClient, type SteadyReport, withoutSteadyClient } from "./steady-client.ts";

const ROUNDS = 3;
/** Calls of each kind that clients make between two restarts. */
const CALLS = 50;
const TIMEOUT_MS = 180_000;
const GRPC_JS_CLIENTS = 3;

/** Both proxies in turn, and reads once more when a proxy has gone away under them. */
const GRPC_JS_OPTIONS = {
  "grpc.service_config": JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: [
      {
        name: [{ service: KV.typeName, method: KV.method.range.name }],
        retryPolicy: {
          maxAttempts: 5,
          initialBackoff: "0.1s",
          maxBackoff: "1s",
          backoffMultiplier: 2,
          retryableStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  }),
};

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3 });
}, 120_000);
afterAll(async () => {
  await cluster.dispose();
}, 60_000);

type Product = "grpc-proxy" | "gateway";

/** Two proxies of a kind, on ports that they keep. */
class Pair implements AsyncDisposable {
  readonly addresses: readonly string[];
  readonly #product: Product;
  readonly #proxies: EtcdproxyProcess[] = [];

  private constructor(product: Product) {
    this.#product = product;
    this.addresses = freePorts(2).map((port) => `127.0.0.1:${port}`);
  }

  static async start(product: Product): Promise<Pair> {
    const pair = new Pair(product);
    for (const address of pair.addresses) pair.#proxies.push(await pair.#startAt(address));
    return pair;
  }

  /** Restarts one, as a service manager does; `meanwhile` is what happens while it is gone. */
  async restart(index: number, meanwhile: () => Promise<void>): Promise<void> {
    expect(await this.#proxies[index]!.stop()).toBe(0);
    await meanwhile();
    this.#proxies[index] = await this.#startAt(this.addresses[index]!);
  }

  #startAt(address: string): Promise<EtcdproxyProcess> {
    return startProxy([
      this.#product,
      "start",
      `--listen-addr=${address}`,
      `--endpoints=${cluster.endpoints.join(",")}`,
      // Connections through a gateway never end by themselves.
      `--drain-timeout=${this.#product === "gateway" ? "500ms" : "30s"}`,
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const proxy of this.#proxies) await proxy[Symbol.asyncDispose]();
  }
}

/** Restarts each proxy in turn under clients that are connected to both again before the next one goes. */
async function restartInTurn(
  pair: Pair,
  clients: { readonly pid: number; readonly connections: number; progress(count: number): Promise<void> },
): Promise<void> {
  const connectedTo = async (address: string): Promise<void> => {
    await waitFor(`clients to be connected to ${address}`, () => {
      return connectionsTo(clients.pid, address) >= clients.connections;
    });
  };
  for (const address of pair.addresses) await connectedTo(address);
  await clients.progress(CALLS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, address] of pair.addresses.entries()) {
      await pair.restart(index, () => clients.progress(CALLS));
      await connectedTo(address);
      await clients.progress(CALLS);
    }
  }
}

/** Holds a report against what the cluster has. */
async function judge(report: SteadyReport, name: string): Promise<void> {
  using directly = new GrpcClient(cluster.member(0).endpoint);
  const range = { key: bytes(`${name}/`), rangeEnd: bytes(`${name}0`) };
  const { kvs } = await directly.unary(KV.method.range, range);
  const stored = kvs
    .map(({ key, modRevision, version }) => ({
      key: Buffer.from(key).toString(),
      revision: Number(modRevision),
      version: Number(version),
    }))
    .sort((one, other) => one.revision - other.revision);
  expect(stored.filter(({ version }) => version !== 1)).toEqual([]);
  const revisions = new Map(stored.map(({ key, revision }) => [key, revision]));
  expect(report.acknowledged.filter(({ key, revision }) => revisions.get(key) !== revision)).toEqual([]);

  expect(report.watchError).toBe("");
  const through = report.events.at(-1)!.revision;
  expect(through).toBeGreaterThanOrEqual(Math.max(...report.acknowledged.map(({ revision }) => revision)));
  const told = report.events.map(({ key, revision }) => `${revision} ${key}`);
  const due = stored.filter(({ revision }) => revision <= through);
  expect(told).toEqual(due.map(({ key, revision }) => `${revision} ${key}`));

  expect(report.leaseLost).toBe(false);
  const leased = await directly.unary(KV.method.range, { key: bytes(`${name}-leased`) });
  expect(leased.kvs).toHaveLength(1);
}

const ofEtcd = withoutSteadyClient === "" ? "etcd's Go client" : `etcd's Go client (${withoutSteadyClient})`;

describe.skipIf(withoutSteadyClient !== "")(`${ofEtcd} behind two proxies that are restarted in turn`, () => {
  test(
    "grpc-proxy: no call fails, no event is missed or doubled, the lease lives on",
    async () => {
      await using pair = await Pair.start("grpc-proxy");
      await using client = new SteadyClient(pair.addresses, "go-grpc-proxy");
      await restartInTurn(pair, {
        pid: client.pid,
        connections: 1,
        progress: (count) => client.progress(count),
      });
      const report = await client.stop();
      expect(report.failedReads).toEqual([]);
      expect(report.failedPuts).toEqual([]);
      await judge(report, "go-grpc-proxy");
    },
    TIMEOUT_MS,
  );

  test(
    "gateway: no read fails, a write at most with UNAVAILABLE, no event is missed or doubled, the lease lives on",
    async () => {
      await using pair = await Pair.start("gateway");
      await using client = new SteadyClient(pair.addresses, "go-gateway");
      await restartInTurn(pair, {
        pid: client.pid,
        connections: 1,
        progress: (count) => client.progress(count),
      });
      const report = await client.stop();
      expect(report.failedReads).toEqual([]);
      expect(report.failedPuts.filter(({ code }) => code !== "Unavailable")).toEqual([]);
      await judge(report, "go-gateway");
    },
    TIMEOUT_MS,
  );
});

describe("@grpc/grpc-js behind two proxies that are restarted in turn", () => {
  test.each(["grpc-proxy", "gateway"] as const)(
    "%s: no read fails that is repeated, a write at most with UNAVAILABLE, and none is lost or doubled",
    async (product) => {
      await using pair = await Pair.start(product);
      const name = `js-${product}`;
      await using load = new Load(`ipv4:${pair.addresses.join(",")}`, name, GRPC_JS_CLIENTS, GRPC_JS_OPTIONS);
      await restartInTurn(pair, {
        pid: process.pid,
        connections: GRPC_JS_CLIENTS,
        progress: (count) => load.progress(count),
      });
      await load.stop();
      expect(load.readFailures).toEqual([]);
      expect(beyondUnavailable(load.writeFailures)).toEqual([]);
      if (product === "grpc-proxy") expect(load.writeFailures).toEqual([]);
      using directly = new GrpcClient(cluster.member(0).endpoint);
      await load.settle(directly);
    },
    TIMEOUT_MS,
  );
});
