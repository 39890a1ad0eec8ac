/**
 * The gateway's listener of `--metrics-addr`, and its time-out for idle connections, of the compiled file in front of a
 * real etcd.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, runEtcdproxy, startGateway } from "../harness/etcdproxy-process.ts";
import { type Family, readExposition, valueOf } from "../harness/exposition.ts";
import { freePorts } from "../harness/free-ports.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { curl } from "./curl.ts";
import { bytes } from "./methods/side.ts";

setDefaultTimeout(60_000);

let cluster: EtcdCluster;
let gateway: EtcdproxyProcess;
/** `http://host:port`. */
let url = "";

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  gateway = await startGateway(cluster.endpoints, [
    "--metrics-addr=http://127.0.0.1:0",
    "--idle-timeout=500ms",
  ]);
  url = String((await gateway.logged("listening for metrics"))["address"]);
}, 120_000);
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await cluster.dispose();
});

const metrics = async (): Promise<Map<string, Family>> =>
  readExposition((await curl("HTTP/1.1", `${url}/metrics`)).body);

const ofEndpoint = (families: ReadonlyMap<string, Family>, name: string, labels = ""): number =>
  valueOf(families, `etcdproxy_gateway_endpoint_${name}{endpoint="${cluster.endpoints[0]}"${labels}}`);

describe("the pages of a gateway", () => {
  test("/health is etcd's", async () => {
    const answer = await curl("HTTP/1.1", `${url}/health`);
    expect(answer).toMatchObject({ status: 200, contentType: "application/json" });
    expect(answer.body).toBe('{"health":"true","reason":""}');
  });

  test("/proxy/endpoints names the member", async () => {
    const answer = await curl("HTTP/1.1", `${url}/proxy/endpoints`);
    expect(JSON.parse(answer.body)).toMatchObject({ endpoints: [{ endpoint: cluster.endpoints[0] }] });
  });

  test("/metrics count a client's call", async () => {
    const before = await metrics();
    using client = new GrpcClient(gateway.address);
    await client.unary(KV.method.range, { key: bytes("key") });
    const after = await metrics();
    const grown = (name: string, labels?: string): number =>
      ofEndpoint(after, name, labels) - ofEndpoint(before, name, labels);
    expect(grown("connections_total")).toBe(1);
    expect(grown("transferred_bytes_total", ',direction="to_member"')).toBeGreaterThan(100);
    expect(grown("transferred_bytes_total", ',direction="to_clients"')).toBeGreaterThan(50);
  });

  test("are not on the port of clients: that is the member's", async () => {
    const { body } = await curl("HTTP/1.1", `http://${gateway.address}/metrics`);
    expect(body).toContain("etcd_server_has_leader 1");
    expect(body).not.toContain("etcdproxy_gateway");
  });

  const promtool = Bun.which("promtool");
  test.skipIf(promtool === null)("promtool finds nothing to say about the metrics", async () => {
    const { body } = await curl("HTTP/1.1", `${url}/metrics`);
    const checked = await runCommand([promtool!, "check", "metrics"], { stdin: Buffer.from(body) });
    expect(checked).toMatchObject({ code: 0, stdout: "", stderr: "" });
  });
});

test("a connection that is idle is closed, and its client's next call goes over a new one", async () => {
  using client = new GrpcClient(gateway.address);
  await client.unary(KV.method.range, { key: bytes("key") });
  const before = await metrics();
  const idle = (families: ReadonlyMap<string, Family>): number =>
    ofEndpoint(families, "closed_connections_total", ',reason="idle"');
  await waitFor("the idle connection to be closed", async () => {
    const now = await metrics();
    return idle(now) > idle(before) && ofEndpoint(now, "connections") === 0;
  });
  // The gateway may be ahead of its client: a call that sets out before the end has reached that one is lost.
  await waitFor("the client to learn of it", () => !client.connected);
  await client.unary(KV.method.range, { key: bytes("key") });
});

describe("--metrics-addr is refused", () => {
  test("with https, for which there is no certificate", async () => {
    const { code, stderr } = await runEtcdproxy([
      "gateway",
      "start",
      "--metrics-addr=https://127.0.0.1:2381",
    ]);
    expect([code, stderr.trim().split("\n").length]).toEqual([1, 1]);
    expect(stderr).toContain(
      "--metrics-addr https://127.0.0.1:2381: the gateway has no certificate to serve it with: " +
        "write http://127.0.0.1:2381",
    );
  });

  test("on the port of clients", async () => {
    const [port] = freePorts(1);
    const { code, stderr } = await runEtcdproxy([
      "gateway",
      "start",
      `--listen-addr=127.0.0.1:${port}`,
      `--metrics-addr=http://:${port}`,
    ]);
    expect([code, stderr.trim().split("\n").length]).toEqual([1, 1]);
    expect(stderr).toContain(`--metrics-addr :${port} has the port of --listen-addr 127.0.0.1:${port}`);
  });
});
