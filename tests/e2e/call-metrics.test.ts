/**
 * The metrics of calls, of the compiled file in front of a real etcd: exact numbers for a known set of calls in every
 * protocol, answered by every part, with one worker and with several.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV, PutRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Lock } from "../../src/gen/v3lockpb/lock_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { type Family, readExposition, valueOf } from "../harness/exposition.ts";
import { GrpcClient, methodPath, statusOf } from "../harness/grpc-client.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { curl, type HttpVersion } from "./curl.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { LeaseStream } from "./lease/lease-stream.ts";
import { bytes } from "./methods/side.ts";
import { WatchStream } from "./watch/watch-stream.ts";

setDefaultTimeout(60_000);

type Page = ReadonlyMap<string, Family>;

const LABELS = /\{grpc_type="(\w+)",grpc_service="([\w.]+)",grpc_method="(\w+)"(?:,grpc_code="(\w+)")?/;

/** `name` of each method that anything was counted for: `KV/Put` or, with codes, `KV/Put OK`. */
function counted(page: Page, name: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [series, value] of page.get(name)!.samples) {
    const [, , service = "", method = "", code] = LABELS.exec(series)!;
    const row = `${service.split(".").at(-1)}/${method}${code === undefined ? "" : ` ${code}`}`;
    if (value > 0) found[row] = value;
  }
  return found;
}

/** What `after` has and `before` had not. */
function grown(before: Page, after: Page, name: string): Record<string, number> {
  const was = counted(before, name);
  return Object.fromEntries(
    Object.entries(counted(after, name)).flatMap(([row, value]) => {
      const more = value - (was[row] ?? 0);
      return more === 0 ? [] : [[row, more]];
    }),
  );
}

/** Calls that began and did not end, by the page's own numbers. */
function openCalls(page: Page): number {
  const sum = (name: string): number =>
    Object.values(counted(page, name)).reduce((total, value) => total + value, 0);
  return sum("grpc_server_started_total") - sum("grpc_server_handled_total");
}

const [watched, held] = ["counted/watched", "counted/lock"];

describe.each([1, 2])("with --workers=%d", (workers) => {
  let cluster: EtcdCluster;
  let proxy: EtcdproxyProcess;
  let folder: TemporaryFolder;
  let metricsUrl = "";

  beforeAll(async () => {
    folder = new TemporaryFolder("call-metrics");
    cluster = await startEtcdCluster({ members: 1 });
    proxy = await startGrpcProxy(cluster.endpoints, [
      "--metrics-addr=http://127.0.0.1:0",
      `--workers=${workers}`,
      "--cache-max-age=60s",
    ]);
    metricsUrl = String((await proxy.logged("listening for metrics"))["address"]);
  }, 120_000);
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await cluster.dispose();
    folder[Symbol.dispose]();
  });

  const page = async (): Promise<Page> =>
    readExposition((await curl("HTTP/1.1", `${metricsUrl}/proxy/metrics`)).body);
  const inJson = (version: HttpVersion, path: string, body: string): ReturnType<typeof curl> =>
    curl(version, `http://${proxy.address}${path}`, [
      "--header",
      "content-type: application/json",
      "--data",
      body,
    ]);

  /** A call to a member that is stopped, until its time is up here: curl itself waits on, and resets nothing. */
  async function outOfTime(): Promise<void> {
    const file = join(folder.path, "request");
    await Bun.write(
      file,
      framed(toBinary(PutRequestSchema, create(PutRequestSchema, { key: bytes("late") }))),
    );
    const [member] = cluster.members;
    member!.stop();
    const answer = await curl("HTTP/2", `http://${proxy.address}${methodPath(KV.method.put)}`, [
      "--header",
      "content-type: application/grpc",
      "--header",
      "te: trailers",
      "--header",
      "grpc-timeout: 200m",
      "--data-binary",
      `@${file}`,
    ]);
    member!.continue();
    expect(answer.status).toBe(200);
  }

  test("every call is counted once, under its method and its code, with its messages", async () => {
    using client = new GrpcClient(proxy.address);
    await client.unary(Lock.method.lock, { name: bytes(held) });
    const { ID: id } = await client.unary(Lease.method.leaseGrant, { TTL: 600n });
    const before = await page();

    for (const key of ["counted/a", "counted/b"]) await client.unary(KV.method.put, { key: bytes(key) });
    const watch = new WatchStream(client);
    const { watchId } = await watch.open({ key: watched });
    for (let n = 1; n <= 5; n++) {
      await client.unary(KV.method.put, { key: bytes(watched) });
      await watch.events(watchId, n);
    }
    for (let n = 0; n < 3; n++) {
      await client.unary(KV.method.range, { key: bytes("counted/a"), serializable: true });
    }
    expect((await statusOf(client.unary(Lease.method.leaseRevoke, { ID: 12345n }))).code).toBe(
      status.NOT_FOUND,
    );
    const lease = new LeaseStream(client);
    for (let n = 0; n < 3; n++) await lease.beat(id);
    const cancel = new AbortController();
    const waits = statusOf(client.unary(Lock.method.lock, { name: bytes(held) }, { signal: cancel.signal }));
    await waitFor("the call that waits", async () => openCalls(await page()) === openCalls(before) + 3);
    cancel.abort();
    expect((await waits).code).toBe(status.CANCELLED);
    await outOfTime();
    const unknown = client.callBytes("/etcdserverpb.KV/OfTheFuture", bytes("x"));
    expect((await statusOf(unknown)).code).toBe(status.UNIMPLEMENTED);
    for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
      const body = `{"key":"${Buffer.from(`json/${version}`).toString("base64")}"}`;
      expect((await inJson(version, "/etcdserverpb.KV/Range", body)).status).toBe(200);
      expect((await inJson(version, "/v3/kv/range", body)).status).toBe(200);
      expect((await inJson(version, "/etcdserverpb.Lease/LeaseRevoke", '{"ID":"12345"}')).status).toBe(404);
      expect((await inJson(version, "/etcdserverpb.Cluster/MemberList", "{}")).status).toBe(200);
    }
    await client.unary(Cluster.method.memberList, {});
    await waitFor("the calls to end", async () => openCalls(await page()) === openCalls(before) + 2);

    const open = await page();
    const [started, handled] = ["grpc_server_started_total", "grpc_server_handled_total"];
    expect(grown(before, open, started)).toEqual({
      "KV/Put": 7 + 1,
      "KV/Range": 3 + 2 * 2,
      "Watch/Watch": 1,
      "Lease/LeaseRevoke": 3,
      "Lease/LeaseKeepAlive": 1,
      "Lock/Lock": 1,
      "unknown/unknown": 1,
      "Cluster/MemberList": 3,
    });
    expect(grown(before, open, handled)).toEqual({
      "KV/Put OK": 7,
      "KV/Put DeadlineExceeded": 1,
      "KV/Range OK": 3 + 2 * 2,
      "Lease/LeaseRevoke NotFound": 3,
      "Lock/Lock Canceled": 1,
      "unknown/unknown Unimplemented": 1,
      "Cluster/MemberList OK": 3,
    });
    expect(grown(before, open, "grpc_server_msg_received_total")).toEqual({
      "KV/Put": 7 + 1,
      "KV/Range": 3 + 2 * 2,
      "Watch/Watch": 1,
      "Lease/LeaseRevoke": 3,
      "Lease/LeaseKeepAlive": 3,
      "Lock/Lock": 1,
      "unknown/unknown": 1,
      "Cluster/MemberList": 3,
    });
    expect(grown(before, open, "grpc_server_msg_sent_total")).toEqual({
      "KV/Put": 7,
      "KV/Range": 3 + 2 * 2,
      "Watch/Watch": 1 + 5,
      "Lease/LeaseKeepAlive": 3,
      "Cluster/MemberList": 3,
    });
    expect(valueOf(open, "etcd_grpc_proxy_cache_hits_total")).toBe(2);
    expect(valueOf(open, "etcdproxy_client_open_calls")).toBe(2);
    expect(valueOf(open, "etcdproxy_member_open_calls")).toBeGreaterThanOrEqual(2);

    lease.halfClose();
    watch.close();
    await waitFor("the streams to end", async () => openCalls(await page()) === 0);
    const closed = await page();
    expect(grown(open, closed, handled)).toEqual({ "Lease/LeaseKeepAlive OK": 1, "Watch/Watch Canceled": 1 });
    expect(valueOf(closed, "etcdproxy_client_open_calls")).toBe(0);
  });

  test("each call that has ended has its duration", async () => {
    const now = await page();
    const durations = now.get("grpc_server_handling_seconds")!;
    expect(durations.type).toBe("histogram");
    const ended: Record<string, number> = {};
    for (const [row, value] of Object.entries(counted(now, "grpc_server_handled_total"))) {
      const method = row.split(" ")[0]!;
      ended[method] = (ended[method] ?? 0) + value;
    }
    const measured: Record<string, number> = {};
    for (const [series, value] of durations.samples) {
      const [, , service = "", method = ""] = LABELS.exec(series)!;
      const row = `${service.split(".").at(-1)}/${method}`;
      if (series.startsWith("grpc_server_handling_seconds_count")) measured[row] = value;
      if (series.includes('le="+Inf"')) expect(value).toBe(ended[row]!);
    }
    expect(measured).toEqual(ended);
    // The one whose time was up after 200 ms is among those that took longer than 0.1 s.
    const put = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    const upTo = (bound: string): number =>
      durations.samples.get(`grpc_server_handling_seconds_bucket{${put},le="${bound}"}`)!;
    expect(upTo("+Inf") - upTo("0.1")).toBeGreaterThanOrEqual(1);
  });

  test("no client makes further series: paths, codes and requests that cannot be read", async () => {
    using client = new GrpcClient(proxy.address);
    const series = async (): Promise<string[]> =>
      [...(await page()).get("grpc_server_started_total")!.samples.keys()].sort();
    const before = await series();
    for (const path of ["/a/b", "/etcdserverpb.KV/put", "/etcdserverpb.KV/Put/", '/x"y/z']) {
      await client.callBytes(path, bytes("")).catch(() => {});
    }
    await inJson("HTTP/1.1", "/no.Such/Method", "{}");
    expect((await inJson("HTTP/2", "/etcdserverpb.KV/Put", "no json")).status).toBe(400);
    expect(await series()).toEqual(before);
    const now = await page();
    expect(counted(now, "grpc_server_started_total")["unknown/unknown"]).toBe(1 + 4);
    // What cannot be read never becomes a call.
    expect(counted(now, "grpc_server_started_total")["KV/Put"]).toBe(7 + 1);
  });

  test("bytes of clients are those on the wire, whatever they speak", async () => {
    const before = await page();
    const question = "GET /health HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n";
    const [hostname = "", port = ""] = proxy.address.split(":");
    let answerBytes = 0;
    const closed = Promise.withResolvers<void>();
    await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) => void socket.write(question),
        data: (_socket, chunk) => void (answerBytes += chunk.length),
        close: () => closed.resolve(),
      },
    });
    await closed.promise;
    const grownBytes = (after: Page, way: string): number =>
      valueOf(after, `etcdproxy_client_${way}_bytes_total`) -
      valueOf(before, `etcdproxy_client_${way}_bytes_total`);
    await waitFor("the bytes", async () => grownBytes(await page(), "sent") === answerBytes);
    expect(grownBytes(await page(), "received")).toBe(question.length);

    const large = 100_000;
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.put, { key: bytes("counted/large"), value: Buffer.alloc(large) });
    await client.unary(KV.method.range, { key: bytes("counted/large") });
    const after = await page();
    for (const way of ["client_received", "client_sent", "member_received", "member_sent"]) {
      const name = `etcdproxy_${way}_bytes_total`;
      expect(valueOf(after, name) - valueOf(before, name)).toBeWithin(large, large + 20_000);
    }
  });
});
