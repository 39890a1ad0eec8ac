/**
 * Keepalive with the flags of an operator: clients that vanish are let go, clients that ping are served or told to ping
 * less, and a real etcd is pinged as it wants to be.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { BareClient } from "../faults/bare-client.ts";
import { PingTap } from "../grpc/ping-tap.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import { ACK, concat, frame, ping, PREFACE, SETTINGS, settings } from "../http2/frames.ts";

const START_MS = 60_000;
setDefaultTimeout(START_MS);
/** Longer than the ten seconds that members are left alone for at least. */
const DIAL_KEEPALIVE_MS = 40_000;
const FORGIVEN = 3;

let cluster: EtcdCluster;

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, START_MS);
afterAll(() => cluster.dispose());

/** A client that has begun HTTP/2 and does nothing by itself. */
async function bareHttp2(proxy: EtcdproxyProcess): Promise<BareClient> {
  const client = await BareClient.connect(proxy.address);
  client.send(concat([PREFACE, settings(), frame(SETTINGS, ACK, 0)]));
  return client;
}

const read = (client: GrpcClient): Promise<unknown> =>
  client.unary(KV.method.range, { key: new TextEncoder().encode("keepalive") });

describe("a client that says nothing", () => {
  test("is pinged, and let go when it does not answer; one that answers stays", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [
      "--grpc-keepalive-interval=1s",
      "--grpc-keepalive-timeout=1s",
    ]);
    using answering = new GrpcClient(proxy.address);
    await read(answering);
    using vanished = await bareHttp2(proxy);
    await withDeadline(vanished.closed, () => "the proxy to close the connection", 4000);
    expect(vanished.receivedText).toContain("are u ok");
    const line = await proxy.logged("gave up a client that does not answer");
    expect(line).toMatchObject({ peer: vanished.address });
    await read(answering);
    expect(proxy.log.filter(({ msg }) => msg === "gave up a client that does not answer").length).toBe(1);
  });
});

describe("a client that pings", () => {
  test("too often is told so, counted and named in the log", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints);
    using client = await bareHttp2(proxy);
    for (let i = 0; i < FORGIVEN; i++) client.send(ping("12345678"));
    await waitFor("the answers", () => client.receivedText.split("12345678").length === FORGIVEN + 1);
    expect(client.isClosed).toBe(false);
    client.send(ping("12345678"));
    await withDeadline(client.closed, () => "the proxy to end the connection");
    expect(client.receivedText).toEndWith("too_many_pings");
    const line = await proxy.loggedWhere("the limit", ({ limit }) => limit === "pingStrikes");
    expect(line).toMatchObject({ peer: client.address, code: "ENHANCE_YOUR_CALM" });
  });

  test("every 100 ms from grpc-js backs off when it is told, and its calls go on", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints);
    using client = new GrpcClient(proxy.address, {
      "grpc.keepalive_time_ms": 100,
      "grpc.keepalive_timeout_ms": 5000,
      "grpc.keepalive_permit_without_calls": 1,
    });
    await read(client);
    await proxy.loggedWhere("the limit", ({ limit }) => limit === "pingStrikes");
    // A call that crosses the GOAWAY ends with its connection, as it does at etcd.
    await waitFor("the next connection", () => read(client));
  });

  test("every 100 ms from grpc-js is served where that is allowed", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, ["--grpc-keepalive-min-time=10ms"]);
    const pings = new ClientPings();
    using relay = new TcpRelay(proxy.address, pings);
    using client = new GrpcClient(relay.endpoint, {
      "grpc.keepalive_time_ms": 100,
      "grpc.keepalive_timeout_ms": 5000,
      "grpc.keepalive_permit_without_calls": 1,
    });
    await read(client);
    await waitFor("ten pings", () => pings.count >= 10);
    await read(client);
    expect(relay.accepted).toBe(1);
  });
});

/** Counts PING frames of a client that sends each by itself, whatever they carry. */
class ClientPings {
  count = 0;
  readonly tap = () => ({
    onClientBytes: (bytes: Uint8Array): void => {
      if (bytes.length === 17 && bytes[3] === 6 && bytes[4] === 0) this.count++;
    },
    onTargetBytes(): void {},
  });
}

describe("a member", () => {
  test(
    "is pinged while a watch is silent, never more often than every ten seconds, and goes on",
    async () => {
      const pings = new PingTap();
      using relay = new TcpRelay(cluster.endpoints[0]!, pings);
      // Health checks every second and shared watches every few seconds ask something: nothing is silent then.
      await using proxy = await startGrpcProxy(
        [relay.endpoint],
        ["--dial-keepalive-time=1s", "--health-check-interval=0", "--watch-coalescing=false"],
      );
      expect(await proxy.logged("--dial-keepalive-time is raised to the least that gRPC uses")).toMatchObject(
        { given: "1s", used: "10s" },
      );
      using client = new GrpcClient(proxy.address);
      const watch = client.bidirectional(Watch.method.watch);
      watch.on("error", () => {});
      const createRequest = { key: new TextEncoder().encode("keepalive") };
      watch.write(
        create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: createRequest } }),
      );
      await read(client);
      const sinceMs = performance.now();
      await waitFor("an answered ping", () => pings.answered > 0, { deadlineMs: DIAL_KEEPALIVE_MS });
      expect(performance.now() - sinceMs).toBeGreaterThan(5000);
      await read(client);
      expect([relay.accepted, pings.asked]).toEqual([1, 1]);
      watch.cancel();
    },
    2 * DIAL_KEEPALIVE_MS,
  );
});
