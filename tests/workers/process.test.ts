/** A process of several workers, as an operator sees it: one port, one log, one surface, one end. */
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { curl } from "../e2e/curl.ts";
import { bytes } from "../e2e/methods/side.ts";
import { ReadClient, SERIALIZABLE } from "../e2e/reads/read-client.ts";
import { RenewedFiles } from "../e2e/tls/renewed-files.ts";
import { shownSerialNumber } from "../e2e/tls/s-client.ts";
import { WatchStream } from "../e2e/watch/watch-stream.ts";
import { CertificateAuthority } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { runEtcdproxy, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { valueOf } from "../harness/exposition.ts";
import { freePorts } from "../harness/free-ports.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { clientsOf, metricsAt, WorkerScene } from "./worker-scene.ts";

setDefaultTimeout(120_000);

const WORKERS = 3;
const HANDSHAKES = 12;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

/** Connections that say nothing. */
function connectMany(address: string, count: number): Socket[] {
  const port = Number(address.split(":").at(-1));
  return Array.from({ length: count }, () => connect(port, "127.0.0.1").on("error", () => {}));
}

describe("the port", () => {
  test("is every worker's: connections are spread over all of them", async () => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
    const sockets = connectMany(scene.proxy.address, 60);
    const spread = await waitFor("60 clients", async () => {
      const clients = clientsOf(await scene.metrics(), WORKERS);
      return clients.reduce((sum, each) => sum + each, 0) === 60 && clients;
    });
    // By chance less than one in a million times a worker gets fewer than four.
    for (const clients of spread) expect(clients).toBeGreaterThan(3);
    for (const socket of sockets) socket.destroy();
  });

  test("is told of once, when all workers listen", async () => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
    const ready = scene.proxy.log.filter(({ msg }) => msg === "started gRPC proxy");
    expect(ready).toMatchObject([{ address: scene.proxy.address, workers: WORKERS, caller: "grpc-proxy" }]);
    // Each worker's lines tell which one it is.
    await waitFor("a line of each worker", () => {
      const lines = scene.proxy.log.filter(({ msg }) => msg === "connected to a member");
      return new Set(lines.map((line) => line["worker"])).size === WORKERS;
    });
  });

  test.each([1, 2])(
    "of another etcdproxy with %d workers is refused, and that one goes on",
    async (workers) => {
      await using other = await startGrpcProxy(cluster.endpoints, [`--workers=${workers}`]);
      const { code, stderr } = await runEtcdproxy([
        "grpc-proxy",
        `--endpoints=${cluster.endpoints[0]}`,
        `--listen-addr=${other.address}`,
        "--workers=2",
      ]);
      expect(code).toBe(1);
      expect(stderr).toBe(
        `etcdproxy: --listen-addr ${other.address}: another process listens there already; stop it or choose another port\n`,
      );
      expect((await curl("HTTP/1.1", `http://${other.address}/health`)).status).toBe(200);
    },
  );

  test("may be a given one", async () => {
    const address = `127.0.0.1:${freePorts(1)[0]}`;
    await using proxy = await startGrpcProxy(cluster.endpoints, [`--listen-addr=${address}`, "--workers=2"]);
    expect(proxy.address).toBe(address);
    expect((await curl("HTTP/1.1", `http://${address}/health`)).status).toBe(200);
  });
});

describe("what the operator got wrong", () => {
  test.each([
    ["--listen-addr=127.0.0.1", "has no port"],
    ["--endpoints=unix:///x", "--endpoints"],
    ["--cert-file=/nowhere/proxy.crt --key-file=/nowhere/proxy.key", "--cert-file /nowhere/proxy.crt"],
    ["--metrics-addr=https://127.0.0.1:0", "needs --cert-file and --key-file"],
    ["--metrics-addr=http://203.0.113.1:0", "--metrics-addr"],
    ["--workers=0", "--workers"],
  ])("%s is one line, and exit status 1", async (flags, told) => {
    const rest = ["grpc-proxy", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints[0]}`];
    const { code, stderr } = await runEtcdproxy([...rest, "--workers=2", ...flags.split(" ")]);
    expect(code).toBe(1);
    const plain = stderr
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("{"));
    expect(plain).toHaveLength(1);
    expect(plain[0]).toStartWith("etcdproxy: ");
    expect(plain[0]).toContain(told);
  });
});

describe("the metrics", () => {
  test("tell at any listener what all workers did", async () => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
    const clients = await scene.clientOfEach();
    // Connecting read a key through each connection.
    const before = await scene.metrics();
    for (const [worker, client] of clients.entries()) {
      for (let count = 0; count <= worker; count++) await client.get(`metrics/${count}`);
      await client.put(`metrics/put/${worker}`, "");
      for (let count = 0; count < 5; count++) await client.get("metrics/cached", SERIALIZABLE);
    }
    const grown = async (url: string, name: string): Promise<number> =>
      valueOf(await metricsAt(url), name) - valueOf(before, name);
    for (const url of [
      scene.metricsUrl,
      ...Array.from({ length: 4 }, () => `http://${scene.proxy.address}`),
    ]) {
      // One, two and three linearizable reads, and one miss at each worker.
      expect(await grown(url, "etcdproxy_member_reads_total")).toBe(1 + 2 + 3 + WORKERS);
      expect(await grown(url, "etcd_grpc_proxy_cache_misses_total")).toBe(WORKERS);
      expect(await grown(url, "etcd_grpc_proxy_cache_hits_total")).toBe(4 * WORKERS);
      expect(await grown(url, "etcdproxy_member_connections")).toBe(0);
    }
    const families = await scene.metrics();
    expect(valueOf(families, "etcdproxy_member_connections")).toBe(WORKERS);
    for (let worker = 0; worker < WORKERS; worker++) {
      expect(valueOf(families, `etcdproxy_worker_up{worker="${worker}"}`)).toBe(1);
    }
  });

  test("tell of the process and of what workers share once", async () => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
    const families = await waitFor("a connection of each worker", async () => {
      const now = await scene.metrics();
      return valueOf(now, "etcdproxy_member_connections") === WORKERS && now;
    });
    expect(valueOf(families, `etcdproxy_endpoint_in_use{endpoint="${cluster.endpoints[0]}"}`)).toBe(1);
    // Far from three times as much.
    const told = valueOf(families, "process_resident_memory_bytes");
    expect(told / scene.proxy.rssBytes()).toBeWithin(0.5, 1.5);
    const startedMs = valueOf(families, "process_start_time_seconds") * 1000;
    expect(Math.abs(Date.now() - startedMs)).toBeLessThan(60_000);
    // What was divided among them is whole again.
    expect(valueOf(families, "etcdproxy_buffer_limit_bytes")).toBeWithin(536_870_912, 536_870_912 + WORKERS);
  });

  test("of one worker alone have nothing of this", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints);
    const families = await metricsAt(`http://${proxy.address}`);
    expect([...families.keys()].filter((name) => name.includes("worker"))).toEqual([]);
    expect(proxy.log.filter((entry) => "worker" in entry || "workers" in entry)).toEqual([]);
  });
});

test("the other pages are served at the further listener, too", async () => {
  await using scene = await WorkerScene.start(cluster.endpoints, 2);
  expect(await curl("HTTP/2", `${scene.metricsUrl}/health`)).toMatchObject({
    status: 200,
    body: '{"health":"true","reason":""}',
  });
  expect((await curl("HTTP/1.1", `${scene.metricsUrl}/metrics`)).body).toContain("etcd_server_has_leader 1");
  expect((await curl("HTTP/1.1", `${scene.metricsUrl}/nothing`)).status).toBe(404);
});

test("the health is bad while no member can be reached", async () => {
  await using scene = await WorkerScene.start([`127.0.0.1:${freePorts(1)[0]}`], 2);
  const { status, body } = await curl("HTTP/1.1", `${scene.metricsUrl}/health`);
  expect(status).toBe(503);
  expect(body).toContain('"health":"false"');
});

test("--max-connections is for all workers together", async () => {
  await using scene = await WorkerScene.start(cluster.endpoints, WORKERS, ["--max-connections=6"]);
  const sockets = connectMany(scene.proxy.address, 60);
  const refused = 'etcdproxy_client_connections_refused_total{listener="clients"}';
  const families = await waitFor("60 clients, most of them refused", async () => {
    const now = await scene.metrics();
    const served = clientsOf(now, WORKERS).reduce((sum, each) => sum + each, 0);
    return served + valueOf(now, refused) === 60 && now;
  });
  expect(clientsOf(families, WORKERS)).toEqual([2, 2, 2]);
  for (const socket of sockets) socket.destroy();
});

describe.each(["SIGTERM", "SIGINT"] as const)("%s", (signal) => {
  test("ends all workers, and the exit status is 0", async () => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
    const clients = await scene.clientOfEach();
    const streams = clients.map((client) => new WatchStream(client.grpc));
    for (const stream of streams) await stream.open({ key: "stopped" });
    scene.proxy.kill(signal);
    expect(await scene.proxy.exited).toBe(0);
    expect(scene.proxy.log.filter(({ level }) => level === "error")).toEqual([]);
    expect(scene.proxy.log.at(-1)).toMatchObject({ msg: "stopped" });
  });
});

describe("certificates", () => {
  test("are read anew by every worker on SIGHUP", async () => {
    using files = new RenewedFiles();
    const authority = await CertificateAuthority.create(files, "outer");
    const issue = () => authority.server("server");
    const [first, second] = [await issue(), await issue()];
    files.write(first, "in place");
    await using proxy = await startGrpcProxy(cluster.endpoints, [...files.clientFlags, "--workers=3"]);
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    files.write(second, "in place");
    proxy.kill("SIGHUP");
    await waitFor("each worker to have read them", () => {
      const lines = proxy.log.filter(({ msg }) => msg === "read TLS files anew");
      return new Set(lines.map((line) => line["worker"])).size === WORKERS;
    });
    for (let count = 0; count < HANDSHAKES; count++) {
      expect(await shownSerialNumber(proxy.address)).toBe(second.serialNumber);
    }
  });

  test("that nobody has named are not there to be read, which is said once", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, ["--workers=2"]);
    proxy.kill("SIGHUP");
    const line = await proxy.logged("SIGHUP: there is no file to read anew");
    expect(line["worker"]).toBeUndefined();
  });

  test("of the proxy's own are the same at every worker, and at the further listener", async () => {
    using folder = new TemporaryFolder("autotls");
    const flags = ["--auto-tls", `--data-dir=${folder.path}`, "--metrics-addr=https://127.0.0.1:0"];
    await using proxy = await startGrpcProxy(cluster.endpoints, [...flags, "--workers=3"]);
    const { address } = await proxy.logged("listening for metrics");
    const serial = await shownSerialNumber(String(address).replace("https://", ""));
    for (let count = 0; count < HANDSHAKES; count++) {
      expect(await shownSerialNumber(proxy.address)).toBe(serial);
    }
  });
});

describe("a gateway", () => {
  test("of two workers passes on what clients say, and ends with exit status 0", async () => {
    await using gateway = await startGateway(cluster.endpoints, [
      "--workers=2",
      "--metrics-addr=http://127.0.0.1:0",
    ]);
    expect(await gateway.logged("ready to proxy client requests")).toMatchObject({
      workers: 2,
      endpoints: cluster.endpoints,
    });
    const clients = Array.from({ length: 12 }, () => new ReadClient(gateway.address));
    for (const [index, client] of clients.entries()) {
      await client.grpc.unary(KV.method.put, { key: bytes(`gateway/${index}`), value: bytes("passed") });
      expect(await client.get(`gateway/${index}`)).toBe("passed");
    }
    const metricsUrl = String((await gateway.logged("listening for metrics"))["address"]);
    const families = await metricsAt(metricsUrl);
    expect(valueOf(families, "etcdproxy_gateway_client_connections_total")).toBe(clients.length);
    expect(clientsOf(families, 2).reduce((sum, each) => sum + each, 0)).toBe(clients.length);
    expect((await curl("HTTP/1.1", `${metricsUrl}/health`)).status).toBe(200);
    expect(await gateway.stop()).toBe(0);
    for (const client of clients) client[Symbol.dispose]();
  });
});
