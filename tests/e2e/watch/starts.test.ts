/**
 * Where a watch begins: now, in the past, in the future, in a history that is compacted. From wherever it begins,
 * it is told of everything, once, in order, and whole.
 */
import { expect } from "bun:test";
import { Etcd3 } from "etcd3";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { prefixRange, WatchStream } from "./watch-stream.ts";
import { BusyWriter, Writer } from "./writer.ts";

const eachTarget = eachTargetOf(useTargets());

const HISTORY = 60;
/** More revisions than a member tells in one answer. */
const LONG_HISTORY = 1200;
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
const FAR_FUTURE = 2n ** 62n;

eachTarget("a watch from a past revision is told of the history, then of what happens", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/past/`);
  const startRevision = await writer.put(`${range.key}a`, "1");
  await writer.txn([
    [`${range.key}a`, "2"],
    [`${range.key}b`, "1"],
  ]);
  await writer.delete(`${range.key}a`);
  const { header } = await stream.open(range, { startRevision });
  expect(header!.revision).toBeGreaterThanOrEqual(startRevision + 2n);
  await writer.put(`${range.key}c`, "1");
  expect(await stream.events(0n, 5)).toEqual(writer.expected(range));
});

eachTarget(
  "a watch from the revision after the last one seen is told of exactly the rest",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    const range = prefixRange(`${target.name}/resumed/`);
    const first = await writer.put(`${range.key}0`, "0");
    for (let index = 1; index < HISTORY; index++) {
      await writer.txn(["x", "y"].map((name) => [`${range.key}${name}`, String(index)]));
    }
    const last = await writer.put(`${range.key}0`, "last");
    using stream = new WatchStream(client);
    const began = new Map<bigint, bigint>();
    for (let startRevision = first; startRevision <= last; startRevision++) {
      stream.create(range, { startRevision });
      began.set(BigInt(began.size), startRevision);
    }
    await stream.nextCreations(began.size);
    await writer.put(`${range.key}0`, "the end");
    for (const [watchId, from] of began) {
      const expected = writer.expected(range, { from });
      expect(await stream.events(watchId, expected.length)).toEqual(expected);
    }
  },
);

eachTarget(
  `watches from the past catch up with ${LONG_HISTORY} revisions while more are written`,
  async (target) => {
    using client = new GrpcClient(target.address);
    using other = new GrpcClient(target.address);
    const writer = new Writer(client);
    const range = prefixRange(`${target.name}/long/`);
    const first = await writer.put(`${range.key}a`, "first");
    for (let index = 1; index < LONG_HISTORY; index++) {
      await writer.txn(["a", "b", "c"].map((name) => [range.key + name, String(index)]));
    }
    const starts = Array.from({ length: 20 }, (_, index) => first + BigInt((index * LONG_HISTORY) / 20));
    using stream = new WatchStream(client);
    await using _busy = new BusyWriter(other, `${target.name}/elsewhere`);
    for (const startRevision of starts) {
      stream.create(range, { startRevision });
      await writer.put(`${range.key}meanwhile`, String(startRevision));
    }
    await stream.nextCreations(starts.length);
    await writer.txn([
      [`${range.key}a`, "the end"],
      [`${range.key}b`, "the end"],
    ]);
    for (const [id, from] of starts.entries()) {
      const expected = writer.expected(range, { from });
      expect(await stream.events(BigInt(id), expected.length)).toEqual(expected);
    }
  },
);

eachTarget("a watch from the next revision is told of the next write", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/next`;
  const revision = await writer.put(key, "before");
  await stream.open({ key }, { startRevision: revision + 1n });
  await writer.put(key, "after");
  expect(await stream.events(0n, 1)).toEqual(writer.expected({ key }, { from: revision + 1n }));
});

eachTarget("a watch from a future revision is told of nothing before it", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/future/`);
  const revision = await writer.put(`${range.key}now`, "v");
  const from = revision + 5n;
  const { header } = await stream.open(range, { startRevision: from });
  expect(header!.revision).toBeGreaterThanOrEqual(revision);
  expect(header!.revision).toBeLessThan(from);
  await writer.putMany(range.key, 9);
  const expected = writer.expected(range, { from });
  expect(expected).toHaveLength(5);
  expect(await stream.events(0n, 5)).toEqual(expected);
});

eachTarget("a watch from a future that does not come is silent, and can be cancelled", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/far`;
  const revision = await writer.put(key, "1");
  const { header } = await stream.open({ key }, { startRevision: FAR_FUTURE });
  expect(header!.revision).toBeGreaterThanOrEqual(revision);
  await stream.open({ key });
  await writer.put(key, "2");
  await stream.events(1n, 1);
  stream.cancel(0n);
  await stream.canceled(0n);
  expect(stream.seen(0n)).toEqual([]);
});

eachTarget(
  "a watch from a compacted revision is created, then cancelled with the compaction's",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    const key = `${target.name}/compacted`;
    const first = await writer.put(key, "1");
    const revision = await writer.putMany(key, 3);
    await client.unary(KV.method.compact, { revision, physical: true });
    await stream.open({ key }, { watchId: 4n });
    for (const [watchId, startRevision] of [
      [10n, first],
      [11n, revision - 1n],
      [12n, 1n],
    ] as const) {
      expect((await stream.open({ key }, { watchId, startRevision })).watchId).toBe(watchId);
      expect(await stream.canceled(watchId)).toMatchObject({ compactRevision: revision, cancelReason: "" });
      expect(stream.seen(watchId)).toEqual([]);
    }
    await writer.put(key, "goes on");
    expect(await stream.events(4n, 1)).toEqual(writer.expected({ key }, { from: revision + 1n }));
  },
);

eachTarget("a watch from the very revision of the compaction is told of all from there", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/just-compacted`;
  await writer.put(key, "1");
  const revision = await writer.put(key, "2");
  await writer.put(key, "3");
  await client.unary(KV.method.compact, { revision, physical: true });
  await stream.open({ key }, { startRevision: revision });
  await writer.put(key, "4");
  const expected = writer.expected({ key }, { from: revision });
  expect(expected).toHaveLength(3);
  expect(await stream.events(0n, 3)).toEqual(expected);
});

eachTarget("a watch that lives is not touched by a compaction", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/alive`;
  await stream.open({ key });
  for (let round = 0; round < 3; round++) {
    const revision = await writer.put(key, String(round));
    await client.unary(KV.method.compact, { revision, physical: true });
  }
  expect(await stream.events(0n, 3)).toEqual(writer.expected({ key }));
});

eachTarget(
  "a watch from a negative revision is cancelled as compacted, and no other with it",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    const key = `${target.name}/negative`;
    const revision = await writer.put(key, "1");
    // Where nothing has ever been compacted, older etcds take -1 for now.
    await client.unary(KV.method.compact, { revision, physical: true });
    await stream.open({ key }, { watchId: 50n });
    for (const startRevision of [-1n, -5n, -(2n ** 63n)]) {
      stream.create({ key }, { startRevision });
      const created = await stream.nextCreated();
      // Since etcd 3.6 it is refused at once, with the reason; before, it is created and then cancelled.
      const end = created.canceled ? created : await stream.canceled(created.watchId);
      const reason = end.compactRevision === 0n ? end.cancelReason : `compacted at ${end.compactRevision}`;
      expect([`compacted at ${revision}`, COMPACTED]).toContain(reason);
    }
    await writer.put(key, "2");
    expect(await stream.events(50n, 1)).toEqual(writer.expected({ key }, { from: revision + 1n }));
  },
);

eachTarget("etcd3 watches from a revision of the past", async (target) => {
  using grpcClient = new GrpcClient(target.address);
  const writer = new Writer(grpcClient);
  const client = new Etcd3({ hosts: target.endpoints.map((endpoint) => `http://${endpoint}`) });
  try {
    const key = `${target.name}/etcd3`;
    const first = await writer.put(key, "1");
    await writer.put(key, "2");
    const watcher = await client.watch().key(key).startRevision(String(first)).create();
    const seen: string[] = [];
    watcher.on("put", ({ value }) => seen.push(value.toString()));
    await writer.put(key, "3");
    await waitFor("three events", () => seen.length >= 3);
    expect(seen).toEqual(["1", "2", "3"]);
    await watcher.cancel();
  } finally {
    client.close();
  }
});
