/**
 * The proxy's own metrics, and the further listener of `--metrics-addr`, of the compiled file in front of a real etcd.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { type Family, readExposition, valueOf } from "../harness/exposition.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { curl, type HttpVersion } from "./curl.ts";
import { bytes } from "./methods/side.ts";
import { WatchStream } from "./watch/watch-stream.ts";

setDefaultTimeout(60_000);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
/** Of the further listener: `http://host:port`. */
let metricsUrl = "";

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  proxy = await startGrpcProxy(cluster.endpoints, ["--metrics-addr=http://127.0.0.1:0"]);
  metricsUrl = String((await proxy.logged("listening for metrics"))["address"]);
}, 120_000);
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

const listeners = [
  ["the main port", () => `http://${proxy.address}`],
  ["--metrics-addr", () => metricsUrl],
] as const;
const versions: readonly HttpVersion[] = ["HTTP/1.1", "HTTP/2"];
const eachWay = listeners.flatMap(([name, url]) => versions.map((version) => ({ name, version, url })));

async function metrics(version: HttpVersion = "HTTP/2", url = metricsUrl): Promise<Map<string, Family>> {
  return readExposition((await curl(version, `${url}/proxy/metrics`)).body);
}

describe.each(eachWay)("on $name over $version", ({ version, url }) => {
  test("/proxy/metrics are the proxy's own metrics", async () => {
    const answer = await curl(version, `${url()}/proxy/metrics`);
    expect(answer).toMatchObject({ status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8" });
    const families = readExposition(answer.body);
    expect(valueOf(families, `etcdproxy_endpoint_in_use{endpoint="${cluster.endpoints[0]}"}`)).toBe(1);
    expect(valueOf(families, "etcdproxy_member_connections")).toBe(1);
    // The member's page is another one.
    expect(families.has("etcd_server_has_leader")).toBe(false);
  });

  test("/metrics is a member's page", async () => {
    const answer = await curl(version, `${url()}/metrics`);
    expect(answer.status).toBe(200);
    expect(answer.body).toContain("etcd_server_has_leader 1");
  });

  test("/health tells that the cluster can be read", async () => {
    const answer = await curl(version, `${url()}/health`);
    expect(answer).toMatchObject({ status: 200, contentType: "application/json" });
    expect(answer.body).toBe('{"health":"true","reason":""}');
  });
});

describe("the listener of --metrics-addr serves nothing else:", () => {
  test("no call in gRPC", async () => {
    using client = new GrpcClient(metricsUrl.replace("http://", ""));
    const call = client.unary(KV.method.range, { key: bytes("key") });
    expect(await call.catch((error: unknown) => error)).toMatchObject({ code: status.UNIMPLEMENTED });
    expect(
      await client.unary(KV.method.put, { key: bytes("key") }).catch((error: unknown) => error),
    ).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  test.each(versions)("no call in JSON over %s", async (version) => {
    const json = ["--header", "content-type: application/json", "--data", '{"key":"YQ=="}'];
    const answer = await curl(version, `${metricsUrl}/etcdserverpb.KV/Range`, json);
    expect(answer).toMatchObject({ status: 404, body: "/etcdserverpb.KV/Range is not served here\n" });
  });

  test.each(versions)("no other page over %s", async (version) => {
    expect((await curl(version, `${metricsUrl}/elsewhere`)).status).toBe(404);
  });
});

describe("the metrics follow what clients do:", () => {
  test("connections, by listener and protocol", async () => {
    const open = async (listener: string, protocol: string): Promise<number> => {
      const labels = `{listener="${listener}",protocol="${protocol}"}`;
      return valueOf(await metrics(), `etcdproxy_client_connections${labels}`);
    };
    expect(await open("metrics", "http2")).toBe(1);
    await waitFor("the connections of earlier cases to close", async () => {
      return (await open("clients", "http2")) === 0 && (await open("clients", "http1")) === 0;
    });
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.range, { key: bytes("key") });
    expect(await open("clients", "http2")).toBe(1);
    const [hostname = "", port = ""] = proxy.address.split(":");
    const silent = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } });
    await waitFor("the silent connection", async () => (await open("clients", "unknown")) === 1);
    silent.terminate();
    await waitFor("its end", async () => (await open("clients", "unknown")) === 0);
  });

  test("reads out of the cache", async () => {
    using client = new GrpcClient(proxy.address);
    const read = { key: bytes("metrics/read"), serializable: true };
    const before = await metrics();
    const hits = "etcd_grpc_proxy_cache_hits_total";
    await waitFor("a read out of the cache", async () => {
      await client.unary(KV.method.range, read);
      return valueOf(await metrics(), hits) > valueOf(before, hits);
    });
    const after = await metrics();
    const grown = (name: string): number => valueOf(after, name) - valueOf(before, name);
    expect(grown("etcd_grpc_proxy_cache_misses_total")).toBeGreaterThan(0);
    expect(grown("etcdproxy_member_reads_total")).toBeGreaterThan(0);
  });

  test("watches that share one at the member, and their events", async () => {
    using client = new GrpcClient(proxy.address);
    const key = "metrics/watched";
    const before = await metrics();
    using first = new WatchStream(client);
    using second = new WatchStream(client);
    const [one, other] = [await first.open({ key }), await second.open({ key })];
    const open = await metrics();
    expect(valueOf(open, "etcdproxy_watch_client_watches")).toBe(2);
    expect(valueOf(open, "etcdproxy_watch_member_watches")).toBe(1);
    expect(valueOf(open, "etcd_grpc_proxy_watchers_coalescing_total")).toBe(1);
    await client.unary(KV.method.put, { key: bytes(key) });
    await Promise.all([first.events(one.watchId, 1), second.events(other.watchId, 1)]);
    const after = await metrics();
    const grown = (name: string): number => valueOf(after, name) - valueOf(before, name);
    expect(grown("etcdproxy_watch_client_events_total")).toBe(2);
    expect(grown("etcdproxy_watch_member_events_total")).toBe(1);
    expect(grown("etcd_grpc_proxy_events_coalescing_total")).toBe(1);
  });
});
