/**
 * The grpc-proxy takes leave of its clients: what a signal means to each kind of call and connection, at the compiled
 * executable in front of a real etcd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { join } from "node:path";
import { create, type MessageShape } from "@bufbuild/protobuf";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease, LeaseKeepAliveRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch, WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Election } from "../../src/gen/v3electionpb/election_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../harness/grpc-client.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { bytes, connectTo, holdMember, messages, metric, refused, UNAVAILABLE } from "./drain-scene.ts";

const STOPPING = "etcdproxy: the proxy is stopping: go on at another one";
/** So long that a test which waits for it fails. */
const LONG = "--drain-timeout=1h";

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 60_000);
afterAll(async () => {
  await cluster.dispose();
}, 60_000);

/** With a page of metrics of its own, whose address is `metricsAddress`. */
async function start(...flags: string[]): Promise<EtcdproxyProcess & { metricsAddress: string }> {
  const proxy = await startGrpcProxy(cluster.endpoints, ["--metrics-addr=http://127.0.0.1:0", ...flags]);
  const { address } = await proxy.logged("listening for metrics");
  return Object.assign(proxy, { metricsAddress: String(address).replace("http://", "") });
}

/** A linearizable read that has come to the proxy and cannot be answered until the member is let go. */
async function stuckRead(client: GrpcClient, { metricsAddress }: { readonly metricsAddress: string }) {
  await client.unary(KV.method.put, { key: bytes("stuck"), value: bytes("1") });
  const before = await metric(metricsAddress, "etcdproxy_shared_reads_total");
  const held = holdMember(cluster);
  const answer = client.unary(KV.method.range, { key: bytes("stuck") });
  void answer.catch(() => undefined);
  await waitFor("the read to come to the proxy", async () => {
    return (await metric(metricsAddress, "etcdproxy_shared_reads_total")) > before;
  });
  return { answer, ...held };
}

/** How a stream ends, once it has. */
function endOf(stream: { on(event: "error", listener: (error: ServiceError) => void): unknown }) {
  return new Promise<ServiceError>((resolve) => {
    stream.on("error", resolve);
  });
}

type WatchStream = ClientDuplexStream<
  MessageShape<typeof Watch.method.watch.input>,
  MessageShape<typeof Watch.method.watch.output>
>;

/** Watches a key, and writes down the values it is told of. */
async function watchKey(client: GrpcClient, key: string): Promise<{ stream: WatchStream; values: string[] }> {
  const stream = client.bidirectional(Watch.method.watch);
  const values: string[] = [];
  const { promise: created, resolve } = Promise.withResolvers<void>();
  stream.on("data", (answer: MessageShape<typeof Watch.method.watch.output>) => {
    if (answer.created) resolve();
    for (const { kv } of answer.events) values.push(new TextDecoder().decode(kv!.value));
  });
  stream.write(
    create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: bytes(key) } } }),
  );
  await created;
  return { stream, values };
}

describe("a grpc-proxy that is told to stop", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "ends at once with status 0 on %s where there is no client",
    async (signal) => {
      await using proxy = await start(LONG);
      proxy.kill(signal);
      expect(await proxy.exited).toBe(0);
      expect(messages(proxy).slice(-2)).toEqual(["stopping", "stopped"]);
    },
  );

  test("lets a call under way finish, takes no new connections, and says so", async () => {
    await using proxy = await start(LONG);
    using client = new GrpcClient(proxy.address);
    using read = await stuckRead(client, proxy);
    proxy.kill("SIGTERM");
    const entry = await proxy.logged("draining: clients may finish");
    expect(entry).toMatchObject({ clients: 1, requests: 1, secondsLeft: 3600 });
    await refused(proxy.address);
    expect(proxy.running).toBe(true);
    read.release();
    expect(await read.answer).toMatchObject({ count: 1n });
    expect(await proxy.exited).toBe(0);
    expect(messages(proxy).slice(-2)).toEqual(["drained: no client is left", "stopped"]);
  });

  test("tells of its progress while clients are there", async () => {
    await using proxy = await start(LONG);
    using client = new GrpcClient(proxy.address);
    using read = await stuckRead(client, proxy);
    proxy.kill("SIGTERM");
    const progress = await proxy.logged("draining");
    expect(progress).toMatchObject({ clients: 1, requests: 1 });
    read.release();
    await read.answer;
    expect(await proxy.exited).toBe(0);
  });

  test("says GOAWAY to an HTTP/2 client with nothing under way, and does not wait for it", async () => {
    await using proxy = await start(LONG);
    const session = connectHttp2(`http://${proxy.address}`);
    const goaways: number[] = [];
    session.on("goaway", (code: number) => goaways.push(code));
    const closed = new Promise((resolve) => session.once("close", resolve));
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    proxy.kill("SIGTERM");
    await closed;
    expect(goaways[0]).toBe(0);
    expect(await proxy.exited).toBe(0);
  });

  test("says at its metrics address until the end, and to who is connected, that it is not ready", async () => {
    await using proxy = await start(LONG);
    using client = new GrpcClient(proxy.address);
    const kept = await connectTo(proxy.address);
    kept.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n");
    await waitFor("the first answer", () => kept.text.includes('{"health":"true","reason":""}'));
    expect(kept.text.toLowerCase()).not.toContain("connection: close");
    kept.send("GET /health HTTP/1.1\r\nhost: a\r\n");
    using read = await stuckRead(client, proxy);
    expect(await metric(proxy.metricsAddress, "etcdproxy_draining")).toBe(0);
    proxy.kill("SIGTERM");
    await refused(proxy.address);
    expect(await metric(proxy.metricsAddress, "etcdproxy_draining")).toBe(1);
    const page = await fetch(`http://${proxy.metricsAddress}/health`);
    expect([page.status, await page.text()]).toEqual([503, '{"health":"false","reason":"draining"}']);
    kept.text = "";
    kept.send("\r\n");
    await waitFor("the connection's end", () => kept.ended);
    expect(kept.text).toStartWith("HTTP/1.1 503 ");
    expect(kept.text).toEndWith('{"health":"false","reason":"draining"}');
    expect(kept.text.toLowerCase()).toContain("connection: close");
    read.release();
    await read.answer;
    expect(await proxy.exited).toBe(0);
  });

  test("closes HTTP/1.1 connections with nothing under way, and those that have said nothing", async () => {
    await using proxy = await start(LONG);
    const silent = await connectTo(proxy.address);
    const idle = await connectTo(proxy.address);
    idle.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n");
    await waitFor("the answer", () => idle.text.includes('"health"'));
    proxy.kill("SIGTERM");
    await waitFor("both to be closed", () => silent.ended && idle.ended);
    silent.halfClose();
    idle.halfClose();
    expect(await proxy.exited).toBe(0);
    expect([silent.closed, idle.closed]).toEqual(["orderly", "orderly"]);
  });

  test.each(["--watch-coalescing=true", "--watch-coalescing=false"])(
    "ends watches with UNAVAILABLE behind their events: %s",
    async (flag) => {
      await using proxy = await start(LONG, flag);
      using client = new GrpcClient(proxy.address);
      const { stream, values } = await watchKey(client, "watched");
      const ended = endOf(stream);
      for (const value of ["1", "2", "3"]) {
        await client.unary(KV.method.put, { key: bytes("watched"), value: bytes(value) });
      }
      await waitFor("the events", () => values.length === 3);
      proxy.kill("SIGTERM");
      expect(await ended).toMatchObject({ code: UNAVAILABLE, details: STOPPING });
      expect(values).toEqual(["1", "2", "3"]);
      expect(await proxy.exited).toBe(0);
    },
  );

  test("answers a heartbeat that has come, and ends its stream with UNAVAILABLE behind that", async () => {
    await using proxy = await start(LONG);
    using client = new GrpcClient(proxy.address);
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 60n });
    const stream = client.bidirectional(Lease.method.leaseKeepAlive);
    const answers: bigint[] = [];
    stream.on("data", (answer: MessageShape<typeof Lease.method.leaseKeepAlive.output>) => {
      answers.push(answer.ID);
    });
    const ended = endOf(stream);
    stream.write(create(LeaseKeepAliveRequestSchema, { ID }));
    await waitFor("the first answer", () => answers.length === 1);
    using held = holdMember(cluster);
    const before = await metric(proxy.metricsAddress, "etcdproxy_lease_client_heartbeats_total");
    stream.write(create(LeaseKeepAliveRequestSchema, { ID }));
    await waitFor("the second to come", async () => {
      return (await metric(proxy.metricsAddress, "etcdproxy_lease_client_heartbeats_total")) > before;
    });
    proxy.kill("SIGTERM");
    await refused(proxy.address);
    held.release();
    expect(await ended).toMatchObject({ code: UNAVAILABLE, details: STOPPING });
    expect(answers).toEqual([ID, ID]);
    expect(await proxy.exited).toBe(0);
  });

  test("ends heartbeats that are forwarded, and elections that are observed", async () => {
    await using proxy = await start(LONG, "--lease-coalescing=false");
    using client = new GrpcClient(proxy.address);
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 60n });
    const heartbeats = client.bidirectional(Lease.method.leaseKeepAlive);
    const answered = new Promise((resolve) => heartbeats.once("data", resolve));
    heartbeats.write(create(LeaseKeepAliveRequestSchema, { ID }));
    await client.unary(Election.method.campaign, { name: bytes("e"), lease: ID, value: bytes("me") });
    const observed = client.serverStream(Election.method.observe, { name: bytes("e") });
    const told = new Promise((resolve) => observed.once("data", resolve));
    const ends = [endOf(heartbeats), endOf(observed)];
    await Promise.all([answered, told]);
    proxy.kill("SIGTERM");
    for (const end of await Promise.all(ends)) {
      expect(end).toMatchObject({ code: UNAVAILABLE, details: STOPPING });
    }
    expect(await proxy.exited).toBe(0);
  });

  test.each(["300ms", "0"])("cuts what is left after --drain-timeout=%s, with status 0", async (timeout) => {
    await using proxy = await start(`--drain-timeout=${timeout}`);
    using client = new GrpcClient(proxy.address);
    using read = await stuckRead(client, proxy);
    proxy.kill("SIGTERM");
    expect(await statusOf(read.answer)).toMatchObject({
      code: UNAVAILABLE,
      details: "etcdproxy: the proxy has stopped before the call was answered",
    });
    expect(await proxy.exited).toBe(0);
    const cut = await proxy.logged("the drain timeout is over: what clients have open is cut");
    expect(cut).toMatchObject({ level: "warn", clients: 1, requests: 1 });
    read.release();
  });

  test("ends at once on a second signal, whatever is under way", async () => {
    await using proxy = await start(LONG);
    using client = new GrpcClient(proxy.address);
    using read = await stuckRead(client, proxy);
    proxy.kill("SIGTERM");
    await proxy.logged("draining: clients may finish");
    proxy.kill("SIGTERM");
    expect(await proxy.exited).toBe(143);
    await read.answer.catch(() => undefined);
    read.release();
  });
});

test("a client of HTTP/1.1 that reads its answer slowly gets all of it", async () => {
  const valueBytes = 1024 * 1024;
  const values = 8;
  await using proxy = await start(LONG);
  using client = new GrpcClient(proxy.address);
  for (let count = 0; count < values; count++) {
    const value = new Uint8Array(valueBytes).fill(count);
    await client.unary(KV.method.put, { key: bytes(`large/${count}`), value });
  }
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const request = JSON.stringify({ key: base64("large/"), range_end: base64("large0") });
  const slow = await connectTo(proxy.address);
  slow.readSlowly(200);
  slow.send(
    "POST /etcdserverpb.KV/Range HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
      `content-length: ${request.length}\r\n\r\n${request}`,
  );
  await waitFor("the answer to begin", () => slow.receivedBytes > 0);
  proxy.kill("SIGTERM");
  await waitFor("the connection's end", () => slow.ended || slow.closed !== "no");
  const length = /content-length: (\d+)/i.exec(slow.text)?.[1];
  expect(Number(length)).toBeGreaterThan((values * valueBytes * 4) / 3);
  expect(slow.receivedBytes).toBeGreaterThan(Number(length));
  expect(slow.closed).not.toBe("reset");
  slow.halfClose();
  expect(await proxy.exited).toBe(0);
});

test("a grpc-proxy that speaks TLS takes leave in the same way", async () => {
  using folder = new TemporaryFolder("drain");
  const secure = ["--auto-tls", `--data-dir=${folder.path}`, "--listen-addr=localhost:0"];
  await using proxy = await start(LONG, ...secure);
  const caFile = join(folder.path, "fixtures", "proxy", "cert.pem");
  using client = new GrpcClient(proxy.address, {}, { caFile });
  const { stream } = await watchKey(client, "watched");
  const ended = endOf(stream);
  const silent = await connectTo(proxy.address);
  using read = await stuckRead(client, proxy);
  proxy.kill("SIGTERM");
  expect(await ended).toMatchObject({ code: UNAVAILABLE, details: STOPPING });
  await waitFor("the handshake that never began to be given up", () => silent.ended);
  silent.halfClose();
  expect(proxy.running).toBe(true);
  read.release();
  expect(await read.answer).toMatchObject({ count: 1n });
  expect(await proxy.exited).toBe(0);
});
