/**
 * The end of a watch: cancelled by its client, or with its client, and never with another's.
 */
import { expect } from "bun:test";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { describedAnswer, prefixRange, WatchStream } from "./watch-stream.ts";
import { BusyWriter, Writer } from "./writer.ts";

const eachTarget = eachTargetOf(useTargets());

const ROUNDS = 50;
const HISTORY = 500;

eachTarget(
  "a cancel is answered with a revision not below an acknowledged put, and no reason",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    for (const key of [`${target.name}/own`, `${target.name}/elsewhere`]) {
      const { watchId } = await stream.open({ key: `${target.name}/own` });
      const acknowledged = await writer.put(key, "1");
      stream.cancel(watchId);
      const end = await stream.canceled(watchId);
      expect(end).toMatchObject({ created: false, cancelReason: "", compactRevision: 0n, events: [] });
      expect(end.header!.revision).toBeGreaterThanOrEqual(acknowledged);
    }
  },
);

eachTarget(
  "nothing comes for a watch after the answer to its cancel, while much is written",
  async (target) => {
    using client = new GrpcClient(target.address);
    using other = new GrpcClient(target.address);
    using stream = new WatchStream(client);
    const key = `${target.name}/busy`;
    await using _busy = new BusyWriter(other, key);
    await stream.open({ key }, { watchId: 1_000_000n });
    for (let round = 0; round < ROUNDS; round++) {
      const { watchId } = await stream.open({ key });
      if (round % 2 === 0) await stream.events(watchId, 1);
      stream.cancel(watchId);
      const end = await stream.canceled(watchId);
      // Each of its events is one that the watch beside it is told of, in the same order.
      const seen = stream.seen(watchId);
      const all = await stream.until("the same events", () => {
        const beside = stream.seen(1_000_000n);
        return seen.length === 0 || beside.includes(seen.at(-1)!) ? beside : undefined;
      });
      const at = seen.length === 0 ? 0 : all.indexOf(seen[0]!);
      expect(seen).toEqual(all.slice(at, at + seen.length));
      expect(end.events).toEqual([]);
    }
  },
);

eachTarget("a cancel of an id that no watch has is not answered", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/unknown`;
  for (const id of [0n, 99n, -1n, 2n ** 62n]) stream.cancel(id);
  await stream.open({ key });
  await stream.open({ key });
  stream.cancel(99n);
  stream.cancel(0n);
  await stream.canceled(0n);
  stream.cancel(0n);
  stream.cancel(-1n);
  await writer.put(key, "1");
  expect(await stream.events(1n, 1)).toEqual(writer.expected({ key }));
  await stream.open({ key });
  expect(stream.answers.filter(({ canceled }) => canceled)).toHaveLength(1);
  expect(stream.answers.map(({ created, canceled }) => [created, canceled])).toEqual([
    [true, false],
    [true, false],
    [false, true],
    [false, false],
    [true, false],
  ]);
});

eachTarget("a watch is cancelled right after its create, and still answered first", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/at-once/`);
  const startRevision = await writer.putMany(range.key, 1);
  for (let id = 0n; id < 20n; id++) {
    stream.create(range, id % 2n === 0n ? {} : { startRevision });
    stream.cancel(id);
  }
  const created = await stream.nextCreations(20);
  expect(created.filter(({ canceled }) => canceled).map(describedAnswer)).toEqual([]);
  for (let id = 0n; id < 20n; id++) await stream.canceled(id);
});

eachTarget("a watch that catches up is cancelled, and what it was told is the beginning", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/catching-up/`);
  const startRevision = await writer.putMany(range.key, 1);
  await writer.putMany(range.key, HISTORY);
  for (let id = 0n; id < 10n; id++) stream.create(range, { startRevision });
  await stream.nextCreations(10);
  for (let id = 0n; id < 9n; id++) stream.cancel(id);
  const expected = writer.expected(range);
  for (let id = 0n; id < 9n; id++) {
    await stream.canceled(id);
    const seen = stream.seen(id);
    expect(seen).toEqual(expected.slice(0, seen.length));
  }
  expect(await stream.events(9n, expected.length)).toEqual(expected);
});

eachTarget(
  "watches go on when others of their range are cancelled or their client leaves",
  async (target) => {
    using client = new GrpcClient(target.address);
    const leaving = new GrpcClient(target.address);
    const writer = new Writer(client);
    const range = prefixRange(`${target.name}/others/`);
    const first = new WatchStream(leaving); // The first of the range, so that others join it.
    await first.open(range, { prevKv: true });
    using stream = new WatchStream(client);
    for (let id = 0n; id < 3n; id++) await stream.open(range);
    await writer.put(`${range.key}a`, "1");
    await stream.events(0n, 1);
    stream.cancel(1n);
    await stream.canceled(1n);
    await writer.put(`${range.key}a`, "2");
    first.close();
    await writer.put(`${range.key}a`, "3");
    leaving.close();
    await writer.put(`${range.key}a`, "4");
    for (const id of [0n, 2n]) expect(await stream.events(id, 4)).toEqual(writer.expected(range));
    expect(stream.seen(1n)).toEqual(writer.expected(range).slice(0, 1));
  },
);

eachTarget("a range is watched again after all its watches have gone", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const range = prefixRange(`${target.name}/anew/`);
  for (let round = 0; round < 10; round++) {
    using stream = new WatchStream(client);
    const { header } = await stream.open(range);
    await writer.put(`${range.key}a`, String(round));
    const from = header!.revision + 1n;
    expect(await stream.events(0n, 1)).toEqual(writer.expected(range, { from }));
    if (round % 2 === 0) continue; // The stream goes with the watch on it.
    stream.cancel(0n);
    await stream.canceled(0n);
  }
});
