/**
 * What a watch is told of a change: previous pairs, filters, fragments; and clients with different wishes about
 * the same keys, each of which is told what it would be told if it were alone.
 */
import { expect } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { WatchCreateRequest_FilterType } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { bytes } from "../methods/side.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import {
  type ChangeKind,
  describedChange,
  prefixRange,
  type WatchedRange,
  type WatchOptions,
  WatchStream,
} from "./watch-stream.ts";
import { type Expectation, Writer } from "./writer.ts";

const eachTarget = eachTargetOf(useTargets());

const { NOPUT, NODELETE } = WatchCreateRequest_FilterType;
const LARGE_VALUES = 40;
const LARGE_VALUE_BYTES = 100 * 1024;
/** etcd makes fragments of less than 2 MiB. */
const FRAGMENT_BYTES_MAX = 2 * 1024 * 1024 + 16 * 1024;
const CONNECTIONS = 6;

/** Options of a watch, and what they leave of the changes. */
interface Wish extends Expectation {
  readonly options: WatchOptions;
}

const wishes: readonly Wish[] = [
  { options: {} },
  { options: { prevKv: true }, prevKv: true },
  { options: { filters: [NOPUT] }, without: ["put"] },
  { options: { filters: [NODELETE], prevKv: true }, without: ["delete"], prevKv: true },
  { options: { fragment: true } },
  { options: { progressNotify: true, watchId: 77n } },
  { options: { filters: [NODELETE], fragment: true }, without: ["delete"] },
  { options: { filters: [NOPUT], prevKv: true, watchId: 3n }, without: ["put"], prevKv: true },
];

/** Puts, deletions, and both in one revision, in `prefix`. */
async function change(writer: Writer, prefix: string): Promise<void> {
  await writer.put(`${prefix}a`, "1");
  await writer.put(`${prefix}a`, "2");
  await writer.txn([
    [`${prefix}b`, "1"],
    [`${prefix}c`, "1"],
    [`${prefix}d`, "1"],
  ]);
  await writer.txn([[`${prefix}c`, "2"]], [`${prefix}a`, `${prefix}b`]);
  await writer.delete(`${prefix}c`);
  await writer.put(`${prefix}b`, "3");
  await writer.txn([], [`${prefix}b`, `${prefix}d`]);
  // Whatever it filters, a watch hears of the last revision.
  await writer.put(`${prefix}z`, "1");
  await writer.txn([[`${prefix}y`, "1"]], [`${prefix}z`]);
}

/** A stream with one watch, and what it is to be told. */
interface Watcher extends Disposable {
  readonly stream: WatchStream;
  readonly watchId: bigint;
  readonly range: WatchedRange;
  readonly expectation: Expectation;
}

/** A watch on a stream of its own; told from now on. */
async function watcherOf(client: GrpcClient, range: WatchedRange, wish: Wish): Promise<Watcher> {
  const stream = new WatchStream(client);
  const { watchId, header } = await stream.open(range, wish.options);
  const expectation = { ...wish, from: header!.revision + 1n };
  return { stream, watchId, range, expectation, [Symbol.dispose]: () => stream.close() };
}

async function toldAll(writer: Writer, watchers: readonly Watcher[]): Promise<void> {
  for (const { stream, watchId, range, expectation } of watchers) {
    const expected = writer.expected(range, expectation);
    const { options: _, ...shown } = expectation as Wish;
    expect({ ...shown, range, events: await stream.events(watchId, expected.length) }).toEqual({
      ...shown,
      range,
      events: expected,
    });
  }
}

function connect(target: Target, stack: DisposableStack): GrpcClient {
  return stack.use(new GrpcClient(target.address));
}

for (const [what, without] of [
  ["puts", ["put"]],
  ["deletions", ["delete"]],
  ["both kinds", ["put", "delete"]],
] as const satisfies readonly (readonly [string, readonly ChangeKind[]])[]) {
  eachTarget(`a filter leaves out ${what}`, async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    const range = prefixRange(`${target.name}/filter-${without.join("-")}/`);
    const filters = without.map((kind) => (kind === "put" ? NOPUT : NODELETE));
    const first = await stream.open(range, { filters });
    await stream.open(range);
    await change(writer, range.key);
    await stream.events(1n, writer.expected(range).length);
    const expected = writer.expected(range, { without });
    expect(await stream.events(first.watchId, expected.length)).toEqual(expected);
    stream.cancel(first.watchId);
    await stream.canceled(first.watchId);
    expect(stream.seen(first.watchId)).toEqual(expected);
  });
}

eachTarget("previous pairs are told to the watches that asked, from the past too", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const range = prefixRange(`${target.name}/previous/`);
  const startRevision = await writer.put(`${range.key}a`, "0");
  await stream.open(range, { startRevision });
  await stream.open(range, { startRevision, prevKv: true });
  await change(writer, range.key);
  await stream.open(range, { startRevision: startRevision + 3n, prevKv: true });
  await stream.open(range, { startRevision: startRevision + 3n });
  await change(writer, range.key);
  for (const [watchId, expectation] of [
    [0n, {}],
    [1n, { prevKv: true }],
    [2n, { prevKv: true, from: startRevision + 3n }],
    [3n, { from: startRevision + 3n }],
  ] as const) {
    const expected = writer.expected(range, expectation);
    expect(await stream.events(watchId, expected.length)).toEqual(expected);
  }
});

eachTarget("a revision of several MiB comes whole, or in fragments to those who allow it", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const range = prefixRange(`${target.name}/large/`);
  const keys = Array.from({ length: LARGE_VALUES }, (_, index) => range.key + String(index + 10));
  const value = "x".repeat(LARGE_VALUE_BYTES);
  for (const key of keys) await writer.put(key, value);
  using stream = new WatchStream(client);
  await stream.open(range, { prevKv: true, fragment: true });
  await stream.open(range, { prevKv: true });
  await stream.open(range, { fragment: true });
  const request = { key: bytes(range.key), rangeEnd: bytes(range.rangeEnd!) };
  const { header } = await client.unary(KV.method.deleteRange, request);
  const deletion = (key: string, previous?: string): string =>
    describedChange("delete", key, "", header!.revision, previous);
  const withPrevious = keys.map((key) => deletion(key, value));
  expect(await stream.events(0n, keys.length)).toEqual(withPrevious);
  expect(await stream.events(1n, keys.length)).toEqual(withPrevious);
  expect(await stream.events(2n, keys.length)).toEqual(keys.map((key) => deletion(key)));
  const answersOf = (id: bigint) => stream.answers.filter((it) => it.watchId === id && !it.created);
  const fragments = answersOf(0n);
  const sizes = fragments.map(({ events }) =>
    events.reduce((sum, { prevKv }) => sum + prevKv!.value.byteLength, 0),
  );
  expect(fragments.length).toBeGreaterThan(1);
  expect(sizes.filter((size) => size > FRAGMENT_BYTES_MAX)).toEqual([]);
  expect(fragments.map(({ fragment }) => fragment)).toEqual(fragments.map((it) => it !== fragments.at(-1)));
  expect(fragments.map((it) => it.header!.revision)).toEqual(fragments.map(() => header!.revision));
  for (const id of [1n, 2n]) expect(answersOf(id).map(({ fragment }) => fragment)).toEqual([false]);
  // What comes next is not taken for a part of it.
  const next = await writer.put(keys[0]!, "1");
  for (const id of [0n, 1n, 2n]) {
    const events = await stream.events(id, keys.length + 1);
    expect(events.at(-1)).toBe(describedChange("put", keys[0]!, "1", next));
  }
});

eachTarget("clients with different wishes watch one range, each as if it were alone", async (target) => {
  using stack = new DisposableStack();
  const writer = new Writer(connect(target, stack));
  const range = prefixRange(`${target.name}/wishes/`);
  const clients = Array.from({ length: CONNECTIONS }, () => connect(target, stack));
  const watchers: Watcher[] = [];
  const join = async (): Promise<void> => {
    const joined = clients.flatMap((client) => wishes.map((wish) => watcherOf(client, range, wish)));
    watchers.push(...(await Promise.all(joined)).map((watcher) => stack.use(watcher)));
  };
  await join();
  await change(writer, range.key);
  // The next ones come while others are told of changes.
  await Promise.all([join(), change(writer, range.key)]);
  await change(writer, range.key);
  await toldAll(writer, watchers);
});

for (const order of ["first", "last"] as const) {
  eachTarget(
    `watches inside one that was opened ${order} see their own keys, and go on after it`,
    async (target) => {
      using stack = new DisposableStack();
      const writer = new Writer(connect(target, stack));
      const whole = prefixRange(`${target.name}/inside-${order}/`);
      const inner: readonly WatchedRange[] = [
        { key: `${whole.key}a` },
        { key: `${whole.key}b`, rangeEnd: `${whole.key}d` },
        { key: `${whole.key}a`, rangeEnd: `${whole.key}c` },
        whole,
      ];
      const open = async (range: WatchedRange): Promise<Watcher[]> => {
        const opened = wishes.map((wish) => watcherOf(connect(target, stack), range, wish));
        return (await Promise.all(opened)).map((watcher) => stack.use(watcher));
      };
      const wideRange = {
        key: `${target.name}/inside-${order}`,
        rangeEnd: `${target.name}/inside-${order}~`,
      };
      const early = order === "first" ? await open(wideRange) : [];
      const inside = (await Promise.all(inner.map(open))).flat();
      const wide = order === "first" ? early : await open(wideRange);
      await change(writer, whole.key);
      await toldAll(writer, [...inside, ...wide]);
      const wideUntil = writer.expected(wideRange).length;
      await Promise.all([
        change(writer, whole.key),
        ...wide.map(async ({ stream, watchId }) => {
          stream.cancel(watchId);
          await stream.canceled(watchId);
        }),
      ]);
      await change(writer, whole.key);
      await toldAll(writer, inside);
      // What the cancelled ones were told is the beginning of what they would have been told.
      for (const { stream, watchId, expectation } of wide) {
        const seen = stream.seen(watchId);
        const expected = writer.expected(wideRange, expectation);
        expect(seen).toEqual(expected.slice(0, seen.length));
        expect(seen.length).toBeLessThanOrEqual(wideUntil * 2);
      }
    },
  );
}
