/**
 * What a client may ask for on a Watch stream, and how each request is answered: ids, ranges, odd requests.
 */
import { expect } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { type WatchRequest, WatchRequestSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { describedAnswer, prefixRange, WatchStream } from "./watch-stream.ts";
import { BusyWriter, Writer } from "./writer.ts";

const eachTarget = eachTargetOf(useTargets());

const EMPTY_RANGE = "mvcc: watcher range is empty";
const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
const MANY = 3000;
const ROUNDS = 30;
const INTERNAL = 13;

/** What a refused create request is answered with, besides its header. */
function refusal(cancelReason: string): object {
  return { watchId: -1n, created: true, canceled: true, cancelReason, compactRevision: 0n, events: [] };
}

/** A request of nothing but this length-delimited field; `data` begins with the length that it says to have. */
function withField(no: number, data: readonly number[]): WatchRequest {
  const field = { no, wireType: WireType.LengthDelimited, data: new Uint8Array(data) };
  return Object.assign(create(WatchRequestSchema), { $unknown: [field] });
}

eachTarget("each create is answered once, in order, with a full header", async (target) => {
  using client = new GrpcClient(target.address);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/created/`);
  stream.create(range);
  stream.create({ key: "b", rangeEnd: "a" });
  stream.create(range, { watchId: 7n });
  stream.create(range, { startRevision: 1_000_000n });
  stream.create(range, { watchId: 7n });
  stream.create({ key: "one" }, { startRevision: 1n, prevKv: true, progressNotify: true, fragment: true });
  stream.create({ key: "b", rangeEnd: "b" });
  stream.create({ key: "last" });
  const answers = await stream.nextCreations(8);
  expect(answers.map(({ watchId, canceled }) => [watchId, canceled])).toEqual([
    [0n, false],
    [-1n, true],
    [7n, false],
    [1n, false],
    [-1n, true],
    [2n, false],
    [-1n, true],
    [3n, false],
  ]);
  // Headers are checked of every answer. What may follow is no second answer to a create.
  stream.requestProgress();
  stream.create({ key: "fence" });
  expect((await stream.nextCreated()).watchId).toBe(4n);
});

eachTarget(
  "a watch of now begins after an acknowledged put, and right after its own revision",
  async (target) => {
    using client = new GrpcClient(target.address);
    using other = new GrpcClient(target.address);
    const writer = new Writer(client);
    const range = prefixRange(`${target.name}/now/`);
    using stream = new WatchStream(client);
    await using _busy = new BusyWriter(other, `${target.name}/elsewhere`);
    const began: { readonly watchId: bigint; readonly from: bigint }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await writer.put(`${range.key}key`, `before ${round}`);
      stream.create(range);
      const meanwhile = writer.put(`${range.key}key`, `meanwhile ${round}`);
      const { watchId, header } = await stream.nextCreated();
      expect(header!.revision).toBeGreaterThanOrEqual(acknowledged);
      began.push({ watchId, from: header!.revision + 1n });
      await meanwhile;
    }
    await writer.put(`${range.key}key`, "the last one");
    for (const { watchId, from } of began) {
      const expected = writer.expected(range, { from });
      expect(await stream.events(watchId, expected.length)).toEqual(expected);
    }
  },
);

eachTarget("an id that the client chooses names its watch in every answer", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/own-id`;
  const ids = [5n, 2n ** 40n, 2n ** 53n + 1n, 2n ** 62n, 2n ** 63n - 1n];
  for (const watchId of ids) expect((await stream.open({ key }, { watchId })).watchId).toBe(watchId);
  await writer.put(key, "1");
  for (const id of ids) expect(await stream.events(id, 1)).toEqual(writer.expected({ key }));
  for (const id of ids) {
    stream.cancel(id);
    expect((await stream.canceled(id)).watchId).toBe(id);
  }
});

eachTarget("an id that is taken is refused, and its watch goes on", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const first = `${target.name}/duplicate/first`;
  const second = `${target.name}/duplicate/second`;
  const before = await stream.open({ key: first }, { watchId: 5n });
  stream.create({ key: second }, { watchId: 5n });
  const refused = await stream.nextCreated();
  expect(refused).toMatchObject(refusal(DUPLICATE_ID));
  expect(refused.header!.revision).toBeGreaterThanOrEqual(before.header!.revision);
  await writer.put(second, "unseen");
  await writer.put(first, "seen");
  expect(await stream.events(5n, 1)).toEqual(writer.expected({ key: first }));
});

eachTarget("ids of the server's choice count from 0 and skip those that are taken", async (target) => {
  using client = new GrpcClient(target.address);
  using stream = new WatchStream(client);
  const key = `${target.name}/auto-id`;
  for (const watchId of [1n, 0n, 0n, 5n, 0n, 2n, 0n, 0n]) stream.create({ key }, { watchId });
  const answers = await stream.nextCreations(8);
  expect(answers.map(({ watchId }) => watchId)).toEqual([1n, 0n, 2n, 5n, 3n, -1n, 4n, 6n]);
});

eachTarget("an id is free again once its watch has been cancelled", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const first = `${target.name}/again/first`;
  const second = `${target.name}/again/second`;
  await stream.open({ key: first }, { watchId: 9n });
  stream.cancel(9n);
  await stream.canceled(9n);
  await stream.open({ key: second }, { watchId: 9n });
  await writer.put(first, "unseen");
  await writer.put(second, "seen");
  expect(await stream.events(9n, 1)).toEqual(writer.expected({ key: second }));
});

eachTarget("a range that ends at or before its key is refused, and the stream goes on", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/invalid`;
  for (const rangeEnd of [key, `${target.name}/a`]) {
    stream.create({ key, rangeEnd }, { watchId: 3n });
    expect(await stream.nextCreated()).toMatchObject(refusal(EMPTY_RANGE));
  }
  const { watchId } = await stream.open({ key }, { watchId: 3n });
  await writer.put(key, "1");
  expect(await stream.events(watchId, 1)).toEqual(writer.expected({ key }));
});

eachTarget("a watch sees its range and no more, whatever else is watched on its stream", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const base = `${target.name}/ranges/`;
  const ranges = [
    prefixRange(base),
    { key: `${base}b` },
    { key: `${base}a`, rangeEnd: `${base}c` },
    { key: `${base}b`, rangeEnd: `${base}d` },
    { key: `${base}b`, rangeEnd: `${base}b\0` },
    { key: `${base}c`, rangeEnd: "\0" }, // from this key on
    { key: "\0", rangeEnd: "\0" }, // all keys
    { key: "", rangeEnd: "\0" }, // all keys
    { key: "", rangeEnd: `${base}c` }, // all below
  ];
  for (const range of ranges) await stream.open(range);
  await writer.put(`${target.name}/rangesz`, "behind the prefix");
  for (const name of ["a", "b", "ba", "c", "d", "e"]) await writer.put(base + name, name);
  await writer.txn([[`${base}b`, "again"]], [`${base}ba`, `${base}d`]);
  await writer.txn(["a", "b", "c", "d"].map((name) => [base + name, "the last one"]));
  for (const [id, range] of ranges.entries()) {
    const expected = writer.expected(range);
    expect(await stream.events(BigInt(id), expected.length)).toEqual(expected);
  }
});

eachTarget("an empty key without an end is watched as if it were a key", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/beside-empty`;
  const empty = await stream.open({ key: "" });
  const { watchId } = await stream.open({ key });
  await writer.put(key, "1");
  await stream.events(watchId, 1);
  stream.cancel(empty.watchId);
  await stream.canceled(empty.watchId);
  expect(stream.seen(empty.watchId)).toEqual([]);
});

eachTarget("a request that asks for nothing is passed over", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/nothing`;
  stream.send({});
  await stream.open({ key });
  stream.send({});
  stream.sendMessage(withField(15, [1, 65]));
  await writer.put(key, "1");
  expect(await stream.events(0n, 1)).toEqual(writer.expected({ key }));
});

eachTarget("bytes that are no request end their stream and no other", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const key = `${target.name}/garbage`;
  using other = new WatchStream(client);
  await other.open({ key });
  using stream = new WatchStream(client);
  await stream.open({ key });
  // A create request that says to be longer than the message.
  stream.sendMessage(withField(1, [32, 1]));
  expect((await stream.over()).code).toBe(INTERNAL);
  await writer.put(key, "1");
  expect(await other.events(0n, 1)).toEqual(writer.expected({ key }));
});

eachTarget("requests sent before a half-close are answered, and their watches go on", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/half-close/`);
  for (let count = 0; count < 3; count++) stream.create(range);
  stream.cancel(1n);
  stream.halfClose();
  await stream.nextCreations(3);
  await stream.canceled(1n);
  await writer.putMany(range.key, 3);
  for (const id of [0n, 2n]) expect(await stream.events(id, 3)).toEqual(writer.expected(range));
  expect(stream.ended).toBe(false);
});

eachTarget(`${MANY} watches live on one stream`, async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const base = `${target.name}/many/`;
  const keyOf = (index: number): string => base + String(index).padStart(4, "0");
  for (let index = 0; index < MANY; index++) stream.create({ key: keyOf(index) });
  const answers = await stream.nextCreations(MANY);
  const wrong = answers.filter(({ watchId, canceled }, index) => canceled || watchId !== BigInt(index));
  expect(wrong.map(describedAnswer)).toEqual([]);
  for (let index = 0; index < MANY; index += 100) {
    await writer.txn([0, 1, 2].map((offset) => [keyOf(index + offset), String(index)]));
  }
  for (let index = 0; index < MANY; index++) {
    const expected = writer.expected({ key: keyOf(index) });
    expect(await stream.events(BigInt(index), expected.length)).toEqual(expected);
  }
  for (let index = 0; index < MANY; index++) stream.cancel(BigInt(index));
  for (let index = 0; index < MANY; index++) await stream.canceled(BigInt(index));
});
