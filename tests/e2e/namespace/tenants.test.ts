/**
 * Proxies with namespaces of their own in front of one cluster, and clients of each: what the seed document shows, and what
 * keeps them apart.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import {
  Compare_CompareTarget,
  CompareSchema,
  KV,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnResponseSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  Maintenance,
} from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch, WatchRequestSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { etcdctl } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, runEtcdproxy, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { Conversation } from "../conversation.ts";
import { curl } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { useTargets } from "../targets.ts";

/** Compression algorithm of grpc-js's channel option. */
const GZIP = 2;

const targets = useTargets({ members: 1 });
let one: EtcdproxyProcess;
let other: EtcdproxyProcess;
let strict: EtcdproxyProcess;
let client: GrpcClient;
let direct: GrpcClient;

beforeAll(async () => {
  const members = [member()];
  one = await startGrpcProxy(members, ["--namespace=my-prefix/"]);
  other = await startGrpcProxy(members, ["--namespace=my-prefix0"]);
  strict = await startGrpcProxy(members, ["--namespace=my-prefix/", "--namespace-strict"]);
  client = new GrpcClient(one.address);
  direct = new GrpcClient(member());
}, 60_000);

afterAll(async () => {
  client.close();
  direct.close();
  for (const proxy of [one, other, strict]) await proxy[Symbol.asyncDispose]();
});

function member(): string {
  return targets.cluster.member(0).endpoint;
}

async function said(address: string, ...words: string[]): Promise<string> {
  const { stdout, stderr, code } = await etcdctl([address], words);
  return code === 0 ? stdout : stderr;
}

test("the seed document's transcript holds", async () => {
  expect(await said(one.address, "put", "my-key", "abc")).toBe("OK\n");
  expect(await said(one.address, "get", "my-key")).toBe("my-key\nabc\n");
  expect(await said(member(), "get", "my-prefix/my-key")).toBe("my-prefix/my-key\nabc\n");
});

describe("to a client its namespace is all there is:", () => {
  const outside = ["my-prefix", "my-prefix/", "my-prefix0", "my-prefix0/c", "z"];

  beforeAll(async () => {
    await said(member(), "del", "", "--from-key");
    for (const key of [...outside, "my-prefix/a", "my-prefix/b"])
      await said(member(), "put", key, `at ${key}`);
  });

  test("reads of everything", async () => {
    expect(await said(one.address, "get", "", "--prefix", "--keys-only")).toBe("a\n\nb\n\n");
    expect(await said(one.address, "get", "", "--from-key", "--keys-only")).toBe("a\n\nb\n\n");
    expect(await said(one.address, "get", "b", "--from-key", "--keys-only")).toBe("b\n\n");
    expect(await said(other.address, "get", "", "--prefix", "--keys-only")).toBe("/c\n\n");
  });

  // Clients leave an empty field out. Members up to 3.6 that are sent one read on to the last key there is.
  test("reads and comparisons of a range with an empty end", async () => {
    const key = bytes("b");
    const read = [toBinary(RangeRequestSchema, create(RangeRequestSchema, { key })), Uint8Array.of(0x12, 0)];
    const { message: range } = await client.callBytes("/etcdserverpb.KV/Range", Buffer.concat(read));
    expect(fromBinary(RangeResponseSchema, range)).toMatchObject({ count: 1n, kvs: [{ key }] });
    const ofThat = {
      target: Compare_CompareTarget.VALUE,
      key,
      targetUnion: { case: "value", value: bytes("at my-prefix/b") },
    } as const;
    const compare = [toBinary(CompareSchema, create(CompareSchema, ofThat)), Uint8Array.of(0x82, 0x04, 0)];
    const { length } = Buffer.concat(compare);
    const txn = Buffer.concat([Uint8Array.of(0x0a, length), ...compare]);
    const { message: answer } = await client.callBytes("/etcdserverpb.KV/Txn", txn);
    expect(fromBinary(TxnResponseSchema, answer).succeeded).toBe(true);
  });

  test("a serializable read out of the cache, and one that others share", async () => {
    const words = ["get", "", "--prefix", "--consistency=s"];
    const first = await said(one.address, ...words);
    expect(first).toBe("a\nat my-prefix/a\nb\nat my-prefix/b\n");
    expect(await said(one.address, ...words)).toBe(first);
  });

  test("watches of everything, with what was there before, shared by all who ask", async () => {
    const range = { key: bytes("\0"), rangeEnd: bytes("\0"), prevKv: true };
    const creation = create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: range } });
    const open = () => {
      const watch = new Conversation(client.bidirectional(Watch.method.watch));
      watch.send(creation);
      return watch;
    };
    const watches = [open(), open(), open()];
    for (const watch of watches) expect(await watch.next()).toMatchObject({ created: true });
    await direct.unary(KV.method.put, { key: bytes("my-prefix0"), value: bytes("not seen") });
    await direct.unary(KV.method.put, { key: bytes("my-prefix/a"), value: bytes("seen") });
    for (const watch of watches) {
      const { events } = await watch.next();
      expect(events).toHaveLength(1);
      expect(events[0]).toMatchObject({
        kv: { key: bytes("a"), value: bytes("seen") },
        prevKv: { key: bytes("a"), value: bytes("at my-prefix/a") },
      });
      watch.cancel();
    }
    const metrics = await curl("HTTP/1.1", `http://${one.address}/proxy/metrics`);
    expect(metrics.body).toContain("etcdproxy_watch_client_events_total 3");
    expect(metrics.body).toContain("etcdproxy_watch_member_events_total 1");
  });

  test("keys of a lease, of which others may lie elsewhere", async () => {
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 60n });
    await client.unary(KV.method.put, { key: bytes("leased"), lease: ID });
    await direct.unary(KV.method.put, { key: bytes("elsewhere"), lease: ID });
    const { keys } = await client.unary(Lease.method.leaseTimeToLive, { ID, keys: true });
    expect(keys).toEqual([bytes("leased")]);
    await client.unary(Lease.method.leaseRevoke, { ID });
  });

  test("callers of other protocols", async () => {
    const key = Buffer.from("a").toString("base64");
    const { status, body } = await curl("HTTP/1.1", `http://${one.address}/etcdserverpb.KV/Range`, [
      "--header",
      "content-type: application/json",
      "--data",
      JSON.stringify({ key }),
    ]);
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ kvs: [{ key }], count: "1" });
  });

  test("a deletion of everything", async () => {
    expect(await said(one.address, "del", "", "--from-key")).toBe("2\n");
    expect(await said(member(), "get", "", "--prefix", "--keys-only")).toBe(
      outside.map((key) => `${key}\n\n`).join(""),
    );
  });
});

test("a large answer passes whole, to a client that reads it slowly too", async () => {
  const value = new Uint8Array(1_000_000).fill(7);
  for (let i = 0; i < 40; i++) await client.unary(KV.method.put, { key: bytes(`large/${i}`), value });
  const range = { key: bytes("large/"), rangeEnd: bytes("large0") };
  const { kvs } = await client.unary(KV.method.range, range);
  expect(kvs).toHaveLength(40);
  expect(kvs.every(({ key }) => Buffer.from(key).toString().startsWith("large/"))).toBe(true);
  await using throttled = await startGrpcProxy([member()], ["--namespace=my-prefix/"]);
  const body = JSON.stringify({ key: btoa("large/"), rangeEnd: btoa("large0") });
  const answer = await curl("HTTP/1.1", `http://${throttled.address}/etcdserverpb.KV/Range`, [
    "--header",
    "content-type: application/json",
    "--limit-rate",
    "40M",
    "--data",
    body,
  ]);
  expect(answer.status).toBe(200);
  expect((JSON.parse(answer.body) as { kvs: unknown[] }).kvs).toHaveLength(40);
  await client.unary(KV.method.deleteRange, range);
});

describe("what a namespace cannot keep apart", () => {
  test("is refused when its keys cannot be known: methods that are not", async () => {
    const call = client.callBytes("/etcdserverpb.KV/Clone", bytes("\n\u0001a"));
    expect(await statusOf(call)).toMatchObject({
      code: 12,
      details: "etcdproxy: the method is not known here, and may use keys outside of --namespace",
    });
  });

  test("is refused when its keys cannot be read: compressed requests", async () => {
    using compressing = new GrpcClient(one.address, { "grpc.default_compression_algorithm": GZIP });
    expect(await statusOf(compressing.unary(KV.method.put, { key: bytes("a") }))).toMatchObject({
      code: 12,
      details: "etcdproxy: compressed requests cannot be mapped to --namespace: send them uncompressed",
    });
  });

  test("acts on the whole cluster", async () => {
    const before = await client.unary(KV.method.range, { key: bytes("a") });
    await client.unary(KV.method.compact, { revision: before.header!.revision });
    const old = direct.unary(KV.method.range, { key: bytes("z"), revision: before.header!.revision - 1n });
    expect(await statusOf(old)).toMatchObject({ code: 11 });
  });

  test("is refused as the operator wishes, and told why", async () => {
    using client = new GrpcClient(strict.address);
    const why = (method: string) => ({
      code: 7,
      details: `etcdproxy: ${method} acts on the whole cluster, which --namespace-strict keeps from clients`,
    });
    expect(await statusOf(client.unary(KV.method.compact, { revision: 3n }))).toMatchObject(why("Compact"));
    expect(await statusOf(client.unary(Auth.method.authEnable, {}))).toMatchObject(why("AuthEnable"));
    expect(await statusOf(client.unary(Cluster.method.memberAdd, {}))).toMatchObject(why("MemberAdd"));
    expect(await statusOf(client.unary(Lease.method.leaseLeases, {}))).toMatchObject(why("LeaseLeases"));
    const snapshot = new Conversation(client.serverStream(Maintenance.method.snapshot, {}));
    expect(await snapshot.status).toMatchObject(why("Snapshot"));
    expect(await said(strict.address, "put", "a", "1")).toBe("OK\n");
    expect(await said(strict.address, "member", "list")).toContain("started");
    const health = await etcdctl([strict.address], ["endpoint", "health"]);
    expect(health.stdout + health.stderr).toContain("is healthy");
    const alarm = { action: AlarmRequest_AlarmAction.ACTIVATE, alarm: AlarmType.NOSPACE };
    expect(await statusOf(client.unary(Maintenance.method.alarm, alarm))).toMatchObject(why("Alarm"));
  });
});

test("--namespace-strict without a namespace is refused in one line", async () => {
  const { code, stderr } = await runEtcdproxy(["grpc-proxy", "start", "--namespace-strict"]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "etcdproxy: --namespace-strict needs --namespace\n" });
});
