/**
 * A write through the grpc-proxy drops what it may have changed from the cache before it is answered, and keeps
 * the rest. Answers here would last for minutes: what is fresh is fresh because of the write.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createClient } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Election } from "../../../src/gen/v3electionpb/election_pb.ts";
import { Lock } from "../../../src/gen/v3lockpb/lock_pb.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import {
  type Holding,
  holdingOf,
  type KeyRange,
  keyBytes,
  prefixOf,
  type ReadClient,
  SERIALIZABLE,
} from "./read-client.ts";
import { LASTING, type Proxied, useReads } from "./reads-fixture.ts";
import { overlap, rangesAround, WRITE_CASES } from "./write-cases.ts";

const fixture = useReads();

const OUT_OF_RANGE = 11;
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";

const holdingFor = async (client: ReadClient, range: KeyRange): Promise<Holding> =>
  holdingOf(await client.range(range, SERIALIZABLE));

let prefixes = 0;
/** A prefix that nobody else uses, with the pairs `a`, `b` and `c` below it, put by `writer`. */
async function prepared(writer: ReadClient, prefix = `w${prefixes++}/`): Promise<string> {
  for (const name of ["a", "b", "c"]) await writer.put(prefix + name, "old");
  return prefix;
}

/** Reads all ranges until they are cached. */
async function cached(client: ReadClient, ranges: readonly KeyRange[]): Promise<void> {
  const readAll = async (): Promise<void> => {
    for (const range of ranges) await client.range(range, SERIALIZABLE);
  };
  await readAll();
  expect(await fixture.cost(readAll)).toBe(0);
}

/** Each of `ranges` is answered as by etcd itself now. */
async function expectFresh(client: ReadClient, ranges: readonly KeyRange[]): Promise<void> {
  for (const range of ranges) {
    const told = await holdingFor(client, range);
    expect({ range, told }).toEqual({ range, told: await holdingFor(fixture.direct, range) });
  }
}

/** Each of `ranges` is answered from the cache. */
async function expectKept(client: ReadClient, ranges: readonly KeyRange[]): Promise<void> {
  const before = await fixture.started();
  for (const range of ranges) await client.range(range, SERIALIZABLE);
  const cost = (await fixture.started()) - before;
  expect({ ranges, cost }).toEqual({ ranges, cost: 0 });
}

describe("drops what it touches and keeps the rest:", () => {
  let proxied: Proxied;
  beforeAll(async () => {
    proxied = await fixture.proxied([LASTING]);
    await fixture.direct.put("elsewhere", "1");
  });
  afterAll(() => proxied[Symbol.asyncDispose]());

  for (const { name, prefix: own, touches, run } of WRITE_CASES) {
    test(name, async () => {
      const reader = proxied.connect();
      const prefix = await prepared(reader, own);
      const ranges = rangesAround(prefix);
      await cached(reader, ranges);
      await run(proxied.connect(), prefix);
      const touched = touches(prefix);
      const isTouched = (range: KeyRange): boolean => touched.some((write) => overlap(write, range));
      await expectKept(
        reader,
        ranges.filter((range) => !isTouched(range)),
      );
      await expectFresh(reader, ranges);
    });
  }

  test("a Put in any protocol, and a compressed one", async () => {
    const baseUrl = `http://${proxied.proxy.address}`;
    const gzip = {
      acceptCompression: [compressionGzip],
      sendCompression: compressionGzip,
      compressMinBytes: 0,
    };
    const transports = {
      "Connect in JSON": createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      "Connect in JSON over HTTP/2": createConnectTransport({ baseUrl, httpVersion: "2" }),
      "Connect in protobuf, gzipped": createConnectTransport({
        baseUrl,
        httpVersion: "1.1",
        useBinaryFormat: true,
        ...gzip,
      }),
      "gRPC-Web": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
      "gRPC of another library": createGrpcTransport({ baseUrl }),
    };
    const reader = proxied.connect();
    for (const [protocol, transport] of Object.entries(transports)) {
      const prefix = await prepared(reader);
      const ranges = [{ key: `${prefix}b` }, prefixOf(prefix), { key: `${prefix}a` }];
      const client = createClient(KV, transport);
      for (const write of [
        () => client.put({ key: keyBytes(`${prefix}b`), value: keyBytes(protocol) }),
        () => client.deleteRange({ key: keyBytes(`${prefix}b`) }),
        () =>
          client.txn({
            success: [
              {
                request: {
                  case: "requestPut",
                  value: { key: keyBytes(`${prefix}b`), value: keyBytes("txn") },
                },
              },
            ],
          }),
      ]) {
        await cached(reader, ranges);
        await write();
        await expectKept(reader, ranges.slice(2));
        await expectFresh(reader, ranges);
      }
      expect(await reader.get(`${prefix}b`, SERIALIZABLE)).toBe("txn");
    }
  });

  test("gzipped gRPC messages, whether etcd takes them or not", async () => {
    const reader = proxied.connect();
    const prefix = await prepared(reader);
    await cached(reader, [prefixOf(prefix), { key: `${prefix}b` }]);
    using client = new GrpcClient(proxied.proxy.address, { "grpc.default_compression_algorithm": 2 });
    const request = { key: keyBytes(`${prefix}b`), value: Buffer.alloc(4096) };
    await client.unary(KV.method.put, request).catch(() => {});
    await expectFresh(reader, [prefixOf(prefix), { key: `${prefix}b` }]);
    await client.unary(KV.method.deleteRange, { key: keyBytes(`${prefix}b`) }).catch(() => {});
    await expectFresh(reader, [prefixOf(prefix), { key: `${prefix}b` }]);
  });

  test("a write that etcd refuses drops too: it may be told too late what it did", async () => {
    const reader = proxied.connect();
    const prefix = await prepared(reader);
    const key = keyBytes(`${prefix}b`);
    const refused = [
      () => reader.grpc.unary(KV.method.put, { key, lease: 404n }),
      () =>
        reader.grpc.unary(KV.method.txn, {
          success: [
            { request: { case: "requestPut", value: { key } } },
            { request: { case: "requestPut", value: { key } } },
          ],
        }),
    ];
    for (const [index, write] of refused.entries()) {
      await cached(reader, [{ key: `${prefix}b` }, prefixOf(prefix)]);
      await fixture.direct.put(`${prefix}b`, `behind the proxy's back ${index}`);
      expect((await statusOf(write())).code).not.toBe(0);
      await expectFresh(reader, [{ key: `${prefix}b` }, prefixOf(prefix)]);
    }
  });

  test("leases: what goes with a revoked one is gone at once", async () => {
    const reader = proxied.connect();
    const prefix = await prepared(reader);
    const { ID } = await reader.grpc.unary(Lease.method.leaseGrant, { TTL: 600n });
    await reader.grpc.unary(KV.method.put, { key: keyBytes(`${prefix}b`), lease: ID });
    const ranges = [{ key: `${prefix}b` }, prefixOf(prefix), { key: `${prefix}c`, rangeEnd: "\0" }];
    await cached(reader, ranges);
    await reader.grpc.unary(Lease.method.leaseRevoke, { ID });
    const cost = await fixture.cost(() => reader.range(ranges[2]!, SERIALIZABLE));
    expect(cost).toBe(1);
    await expectFresh(reader, ranges);
    expect(await reader.get(`${prefix}b`, SERIALIZABLE)).toBeUndefined();
  });

  test("a change of users or roles drops everything", async () => {
    const reader = proxied.connect();
    const prefix = await prepared(reader);
    const changes = [
      () => reader.grpc.unary(Auth.method.userAdd, { name: "user", password: "p" }),
      () => reader.grpc.unary(Auth.method.roleAdd, { name: "role" }),
      () => reader.grpc.unary(Auth.method.userGrantRole, { user: "user", role: "role" }),
      () => reader.grpc.unary(Auth.method.userChangePassword, { name: "user", password: "q" }),
      () => reader.grpc.unary(Auth.method.userRevokeRole, { name: "user", role: "role" }),
      () => reader.grpc.unary(Auth.method.roleDelete, { role: "role" }),
      () => reader.grpc.unary(Auth.method.userDelete, { name: "user" }),
    ];
    for (const change of changes) {
      await cached(reader, [prefixOf(prefix)]);
      await change();
      expect(await fixture.cost(() => reader.range(prefixOf(prefix), SERIALIZABLE))).toBe(1);
    }
  });

  test("locks and elections: who holds one, and what is proclaimed, is seen at once", async () => {
    const prefix = `coordination${prefixes++}/`;
    const reader = proxied.connect();
    const { grpc } = proxied.connect();
    const { ID: lease } = await grpc.unary(Lease.method.leaseGrant, { TTL: 600n });
    const ranges = [prefixOf(prefix), { key: prefix, rangeEnd: "\0" }, { key: "\0", rangeEnd: "\0" }];
    const step = async <Answer>(run: () => Promise<Answer>, held: number): Promise<Answer> => {
      for (const range of ranges) await reader.range(range, SERIALIZABLE);
      const answer = await run();
      await expectFresh(reader, ranges);
      expect((await holdingFor(reader, prefixOf(prefix))).kvs).toHaveLength(held);
      return answer;
    };
    const { key } = await step(
      () => grpc.unary(Lock.method.lock, { name: keyBytes(`${prefix}lock`), lease }),
      1,
    );
    await cached(reader, [{ key: Buffer.from(key).toString("latin1") }]);
    await step(() => grpc.unary(Lock.method.unlock, { key }), 0);
    expect(await reader.get(Buffer.from(key).toString("latin1"), SERIALIZABLE)).toBeUndefined();
    const name = keyBytes(`${prefix}election`);
    const { leader } = await step(
      () => grpc.unary(Election.method.campaign, { name, lease, value: keyBytes("first") }),
      1,
    );
    await step(() => grpc.unary(Election.method.proclaim, { leader: leader!, value: keyBytes("second") }), 1);
    await step(() => grpc.unary(Election.method.resign, { leader: leader! }), 0);
  });
});

describe("compaction", () => {
  test("a revision that was compacted through the proxy is answered so; the latest stays readable", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const old = await fixture.direct.put("compact", "1");
    const newer = await fixture.direct.put("compact", "2");
    const newest = await fixture.direct.put("compact", "3");
    const at = (revision: bigint) => client.get("compact", { ...SERIALIZABLE, revision });
    for (let round = 0; round < 2; round++) {
      expect(await Promise.all([at(old), at(newer), at(newest), at(0n)])).toEqual(["1", "2", "3", "3"]);
    }
    await client.grpc.unary(KV.method.compact, { revision: newest });
    for (const revision of [old, newer]) {
      const { code, details } = await statusOf(at(revision));
      expect({ code, details }).toEqual({ code: OUT_OF_RANGE, details: COMPACTED });
    }
    expect(await Promise.all([at(newest), at(0n)])).toEqual(["3", "3"]);
  });
});

describe("a watch that there is anyway", () => {
  test("drops what a write at etcd itself has changed, before it tells of it", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const prefix = await prepared(fixture.direct);
    const client = proxied.connect();
    using watcher = new WatchStream(client.grpc);
    await watcher.open(prefixOf(prefix));
    const [changed, other] = [{ key: `${prefix}b` }, { key: `${prefix}a` }];
    for (let round = 1; round <= 20; round++) {
      await cached(client, [changed, other, prefixOf(prefix)]);
      await fixture.direct.put(`${prefix}b`, String(round));
      await watcher.events(0n, round);
      expect(await client.get(changed.key, SERIALIZABLE)).toBe(String(round));
      await expectFresh(client, [prefixOf(prefix)]);
      await expectKept(client, [other]);
    }
    await fixture.direct.grpc.unary(KV.method.deleteRange, {
      key: keyBytes(prefix),
      rangeEnd: keyBytes("x"),
    });
    await watcher.events(0n, 23);
    await expectFresh(client, [changed, other, prefixOf(prefix)]);
  });

  test("prolongs nothing: an answer still ends with its age", async () => {
    await using proxied = await fixture.proxied(["--cache-max-age=200ms"]);
    const prefix = await prepared(fixture.direct);
    const client = proxied.connect();
    using watcher = new WatchStream(client.grpc);
    await watcher.open(prefixOf(prefix));
    const beginning = performance.now();
    let reads = 0;
    const cost = await fixture.cost(async () => {
      while (performance.now() - beginning < 1100) {
        await client.get(`${prefix}b`, SERIALIZABLE);
        reads++;
      }
    });
    // The first, and one more for each 200 ms that have passed; never more than one for each that could have.
    expect(cost).toBeGreaterThanOrEqual(5);
    expect(cost).toBeLessThan(12);
    expect(reads).toBeGreaterThan(50);
  });
});
