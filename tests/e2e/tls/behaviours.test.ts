/**
 * What holds without TLS holds with TLS on both sides: one case of each kind of call, on a cluster of three members.
 * The proxy asks clients for certificates, and so do the members ask the proxy.
 */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Etcd3 } from "etcd3";
import { Compare_CompareTarget, KV, RangeRequestSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { CertificateAuthority, type ClientTls, type IssuedCertificate } from "../../harness/certificates.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream, etcdctlTls } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { LeaseStream } from "../lease/lease-stream.ts";
import { bytes } from "../methods/side.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import { shownToClients, shownToMembers } from "./secure-member.ts";

setDefaultTimeout(60_000);

const MEBIBYTE = 1024 * 1024;
const DIGEST_BYTES = 32;

const folder = new TemporaryFolder("tlsbehaviours");
let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
let own: IssuedCertificate;
let tls: ClientTls;
let flags: string[];
beforeAll(async () => {
  const authority = await CertificateAuthority.create(folder, "authority");
  const [shown, towardsMembers, towardsClients] = await Promise.all([
    authority.server("member"),
    authority.client("towards-members"),
    authority.server("towards-clients"),
  ]);
  own = await authority.client("client");
  tls = { caFile: authority.file, certificate: own };
  cluster = await startEtcdCluster({
    members: 3,
    tls: { server: shown, clients: { caFile: authority.file, own } },
  });
  flags = [
    `--cacert=${authority.file}`,
    ...shownToMembers(towardsMembers),
    ...shownToClients(towardsClients),
    `--trusted-ca-file=${authority.file}`,
  ];
  proxy = await startGrpcProxy(cluster.urls, flags);
}, 120_000);
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
  folder[Symbol.dispose]();
});

const open = (): GrpcClient => new GrpcClient(proxy.address, {}, tls);

test("a value of 1 MiB comes back as it went", async () => {
  using client = open();
  const value = new Uint8Array(MEBIBYTE).map((_, index) => (index * 31) % 251);
  await client.unary(KV.method.put, { key: bytes("large"), value });
  const { kvs } = await client.unary(KV.method.range, { key: bytes("large") });
  expect(Buffer.from(kvs[0]!.value).equals(value)).toBe(true);
});

test("reads are linearizable, serializable and of an old revision", async () => {
  using client = open();
  const key = bytes("reads");
  const { header } = await client.unary(KV.method.put, { key, value: bytes("old") });
  await client.unary(KV.method.put, { key, value: bytes("new") });
  const read = async (options: { serializable?: boolean; revision?: bigint }): Promise<string> => {
    const { kvs } = await client.unary(KV.method.range, { key, ...options });
    return Buffer.from(kvs[0]!.value).toString();
  };
  expect(await read({})).toBe("new");
  expect(await read({ serializable: true })).toBe("new");
  expect(await read({ revision: header!.revision })).toBe("old");
});

test("a transaction takes one of two branches", async () => {
  using client = open();
  const key = bytes("txn");
  const range = create(RangeRequestSchema, { key });
  const request = {
    compare: [
      {
        target: Compare_CompareTarget.VERSION,
        key,
        targetUnion: { case: "version" as const, value: 0n },
      },
    ],
    success: [{ request: { case: "requestPut" as const, value: { key, value: bytes("first") } } }],
    failure: [{ request: { case: "requestRange" as const, value: range } }],
  };
  expect((await client.unary(KV.method.txn, request)).succeeded).toBe(true);
  const second = await client.unary(KV.method.txn, request);
  expect(second.succeeded).toBe(false);
  expect(second.responses[0]!.response).toMatchObject({ case: "responseRange", value: { count: 1n } });
});

test("watches of many clients see every event in order", async () => {
  const clients = Array.from({ length: 10 }, open);
  const watches = clients.map((client) => new WatchStream(client));
  try {
    const ids = await Promise.all(
      watches.map(async (watch) => (await watch.open({ key: "watched/", rangeEnd: "watched0" })).watchId),
    );
    for (let event = 0; event < 50; event++) {
      await clients[0]!.unary(KV.method.put, { key: bytes(`watched/${event}`), value: bytes(`${event}`) });
    }
    const expected = Array.from({ length: 50 }, (_, event) => `put watched/${event}=${event}`);
    for (const [index, watch] of watches.entries()) {
      expect(await watch.events(ids[index]!, 50)).toEqual(
        expected.map((text) => expect.stringContaining(text)),
      );
    }
  } finally {
    for (const watch of watches) watch.close();
    for (const client of clients) client.close();
  }
});

test("a lease lives while it is kept alive", async () => {
  using client = open();
  const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 600n });
  await client.unary(KV.method.put, { key: bytes("leased"), value: bytes("value"), lease: ID });
  using stream = new LeaseStream(client);
  for (let beat = 0; beat < 20; beat++) expect((await stream.beat(ID)).TTL).toBe(600n);
  await client.unary(Lease.method.leaseRevoke, { ID });
  expect((await client.unary(KV.method.range, { key: bytes("leased") })).count).toBe(0n);
});

test("a hundred clients call at once, each over a connection of its own", async () => {
  const clients = Array.from({ length: 100 }, open);
  try {
    const values = await Promise.all(
      clients.map(async (client, index) => {
        const key = bytes(`hundred/${index}`);
        await client.unary(KV.method.put, { key, value: bytes(`${index}`) });
        const { kvs } = await client.unary(KV.method.range, { key });
        return Buffer.from(kvs[0]!.value).toString();
      }),
    );
    expect(values).toEqual(clients.map((_, index) => `${index}`));
  } finally {
    for (const client of clients) client.close();
  }
});

test("a hundred calls at once share a connection", async () => {
  using client = open();
  const value = new Uint8Array(64 * 1024).fill(0x61);
  const calls = Array.from({ length: 100 }, async (_, index) => {
    const key = bytes(`shared/${index}`);
    await client.unary(KV.method.put, { key, value });
    return (await client.unary(KV.method.range, { key })).kvs[0]!.value.length;
  });
  expect(await Promise.all(calls)).toEqual(calls.map(() => value.length));
});

test("a snapshot of many megabytes is whole", async () => {
  using client = open();
  for (let index = 0; index < 12; index++) {
    const value = new Uint8Array(MEBIBYTE).fill(index);
    await client.unary(KV.method.put, { key: bytes(`snapshot/${index}`), value });
  }
  const hash = createHash("sha256");
  let tail = Buffer.alloc(0);
  let size = 0;
  for await (const piece of client.serverStream(Maintenance.method.snapshot, {})) {
    const { blob } = piece as { readonly blob: Uint8Array };
    size += blob.length;
    const known = Buffer.concat([tail, blob]);
    const end = Math.max(0, known.length - DIGEST_BYTES);
    hash.update(known.subarray(0, end));
    tail = known.subarray(end);
  }
  expect(size).toBeGreaterThan(12 * MEBIBYTE);
  expect(hash.digest("hex")).toBe(tail.toString("hex"));
});

test("etcdctl puts, watches and keeps a lease alive", async () => {
  const url = [`https://${proxy.address}`];
  const shown = etcdctlTls(tls);
  await using watch = new EtcdctlStream(url, [...shown, "watch", "etcdctl", "--rev=1"]);
  expect((await etcdctl(url, [...shown, "put", "etcdctl", "value"])).stdout).toBe("OK\n");
  expect(await watch.nextLines(3)).toEqual(["PUT", "etcdctl", "value"]);
  const granted = (await etcdctl(url, [...shown, "lease", "grant", "600"])).stdout;
  const [, id = ""] = /^lease ([0-9a-f]+) granted/.exec(granted) ?? [];
  await using alive = new EtcdctlStream(url, [...shown, "lease", "keep-alive", id]);
  expect(await alive.nextLine()).toBe(`lease ${id} keepalived with TTL(600)`);
});

test("the npm package etcd3 puts, gets, watches and locks", async () => {
  const client = new Etcd3({
    hosts: `https://localhost:${proxy.address.split(":")[1]}`,
    credentials: {
      rootCertificate: Buffer.from(await Bun.file(tls.caFile).arrayBuffer()),
      privateKey: Buffer.from(own.keyPem),
      certChain: Buffer.from(own.certificatePem),
    },
  });
  try {
    const watcher = await client.watch().key("etcd3").create();
    const seen: string[] = [];
    watcher.on("put", ({ value }) => seen.push(value.toString()));
    await client.put("etcd3").value("value");
    expect(await client.get("etcd3").string()).toBe("value");
    await waitFor("the event", () => seen.length > 0);
    await watcher.cancel();
    const lock = await client.lock("etcd3/lock").acquire();
    await lock.release();
  } finally {
    client.close();
  }
});

test("calls and watches go on when the member in use is killed", async () => {
  await using other = await startGrpcProxy(cluster.urls, flags);
  using client = new GrpcClient(other.address, {}, tls);
  using watch = new WatchStream(client);
  const { watchId } = await watch.open({ key: "failover" });
  const used = cluster.members.find(({ endpoint }) => endpoint === other.endpointInUse)!;
  await used.kill();
  try {
    await waitFor("a put", async () => {
      await client.unary(KV.method.put, { key: bytes("failover"), value: bytes("value") });
      return true;
    });
    await watch.events(watchId, 1);
  } finally {
    used.restart();
    await cluster.waitHealthy();
  }
});
