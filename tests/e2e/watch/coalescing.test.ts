/**
 * Any number of clients' watches on shared ranges cost the cluster one watch on one stream, as the members'
 * own metrics tell. Through the grpc-proxy only: it is what it is for.
 */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { WatchCreateRequest_FilterType } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { ensureBuilt, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { Accounts } from "./accounts.ts";
import { upstreamLoad, waitForLoad } from "./upstream-load.ts";
import {
  describedAnswer,
  prefixRange,
  type WatchedRange,
  type WatchOptions,
  WatchStream,
} from "./watch-stream.ts";
import { type Expectation, Writer } from "./writer.ts";

setDefaultTimeout(90_000);

const CONNECTIONS = 20;
const STREAMS_EACH = 5;
const WATCHES_EACH = 10;
const USERS = 100;
const PAST = 100;
const INNER_STREAMS = 10;
const FILTER_PUTS = [WatchCreateRequest_FilterType.NOPUT];
const FILTER_DELETIONS = [WatchCreateRequest_FilterType.NODELETE];

const ONE = { watches: 1, streams: 1 };
const NONE = { watches: 0, streams: 0 };

let cluster: EtcdCluster;
let direct: GrpcClient;

beforeAll(async () => {
  // Cheap passwords: there are many users, and none has a secret.
  [cluster] = await Promise.all([
    startEtcdCluster({ members: 3, flags: ["--bcrypt-cost=4"] }),
    ensureBuilt(),
  ]);
  direct = new GrpcClient(cluster.member(0).endpoint);
}, 120_000);

afterEach(() => waitForLoad(cluster, NONE));

afterAll(async () => {
  direct.close();
  await cluster.dispose();
}, 30_000);

/** A grpc-proxy in front of all members, its clients' connections, and everything to be closed in the end. */
class Fixture implements AsyncDisposable {
  readonly address: string;
  readonly writer = new Writer(direct);
  readonly #stack: AsyncDisposableStack;

  private constructor(address: string, stack: AsyncDisposableStack) {
    this.address = address;
    this.#stack = stack;
  }

  static async start(flags: readonly string[] = []): Promise<Fixture> {
    const stack = new AsyncDisposableStack();
    const proxy = stack.use(await startGrpcProxy(cluster.endpoints, flags));
    return new Fixture(proxy.address, stack);
  }

  connect(): GrpcClient {
    return this.#stack.use(new GrpcClient(this.address));
  }

  stream(client: GrpcClient, metadata: Readonly<Record<string, string>> = {}): WatchStream {
    return this.#stack.use(new WatchStream(client, { metadata }));
  }

  /** `count` streams over a few connections. */
  streams(count: number): WatchStream[] {
    const clients = Array.from({ length: Math.min(count, CONNECTIONS) }, () => this.connect());
    return Array.from({ length: count }, (_, index) => this.stream(clients[index % clients.length]!));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

interface Wish extends Expectation {
  readonly options: WatchOptions;
}

const wishes: readonly Wish[] = [
  { options: {} },
  { options: { prevKv: true }, prevKv: true },
  { options: { filters: FILTER_DELETIONS }, without: ["delete"] },
  { options: { filters: FILTER_PUTS, prevKv: true }, without: ["put"], prevKv: true },
  { options: { fragment: true, progressNotify: true } },
];

/** One client watch, and what it is to be told. */
interface Watcher {
  readonly stream: WatchStream;
  readonly watchId: bigint;
  readonly range: WatchedRange;
  readonly expectation: Expectation;
}

/** Opens watches on each of `streams`, all at once: `rangeOf` numbers them through, and wishes go round. */
async function openAll(
  streams: readonly WatchStream[],
  each: number,
  rangeOf: (index: number) => WatchedRange,
): Promise<Watcher[]> {
  const opened = streams.map(async (stream, place) => {
    const asked = Array.from({ length: each }, (_, offset) => {
      const range = rangeOf(place * each + offset);
      const wish = wishes[offset % wishes.length]!;
      // Every other id is the client's own.
      const watchId = offset % 2 === 0 ? 0n : BigInt(1000 + offset);
      stream.create(range, { ...wish.options, watchId });
      return { range, wish };
    });
    const answers = await stream.nextCreations(each);
    return answers.map((answer, offset) => {
      if (answer.canceled) throw new Error(`a watch was refused: ${describedAnswer(answer)}`);
      const { range, wish } = asked[offset]!;
      const expectation = { ...wish, from: answer.header!.revision + 1n };
      return { stream, watchId: answer.watchId, range, expectation };
    });
  });
  return (await Promise.all(opened)).flat();
}

async function toldAll(writer: Writer, watchers: readonly Watcher[]): Promise<void> {
  const known = new Map<string, string[]>();
  for (const { stream, watchId, range, expectation } of watchers) {
    const { from, prevKv, without } = expectation;
    const what = JSON.stringify([range, String(from), prevKv, without]);
    const expected = known.get(what) ?? writer.expected(range, expectation);
    known.set(what, expected);
    const told = await stream.events(watchId, expected.length);
    if (!Bun.deepEquals(told, expected)) expect({ what, told }).toEqual({ what, told: expected });
  }
  // Nobody was to be told of nothing at all.
  expect([...known.values()].some((expected) => expected.length > 0)).toBe(true);
}

test("1000 watches on one key, whatever their options, cost one watch on one stream", async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const key = "one-key";
  const streams = fixture.streams(CONNECTIONS * STREAMS_EACH);
  const watchers = await openAll(streams, WATCHES_EACH, () => ({ key }));
  expect(watchers).toHaveLength(1000);
  await waitForLoad(cluster, ONE);
  await writer.put(key, "1");
  await writer.put(key, "2");
  await writer.delete(key);
  await writer.put(key, "3");
  await writer.delete(key);
  await toldAll(writer, watchers);
  expect(await upstreamLoad(cluster)).toEqual(ONE);
  for (const stream of streams) stream.close();
  await waitForLoad(cluster, NONE);
});

for (const order of ["first", "last"] as const) {
  test(`1000 distinct ranges inside a prefix that is watched ${order} cost one watch on one stream`, async () => {
    await using fixture = await Fixture.start();
    const { writer } = fixture;
    const prefix = `inside-${order}/`;
    const keyOf = (index: number): string => prefix + String(index).padStart(4, "0");
    // A key, or the range of it and some that follow.
    const rangeOf = (index: number): WatchedRange =>
      index % 2 === 0 ? { key: keyOf(index) } : { key: keyOf(index), rangeEnd: keyOf(index + 3) };
    const wide = fixture.stream(fixture.connect());
    const begin = async (): Promise<Watcher> => {
      const { header, watchId } = await wide.open(prefixRange(prefix));
      return {
        stream: wide,
        watchId,
        range: prefixRange(prefix),
        expectation: { from: header!.revision + 1n },
      };
    };
    const early = order === "first" ? [await begin()] : [];
    const inner = await openAll(fixture.streams(INNER_STREAMS), 100, rangeOf);
    const watchers = [...inner, ...early, ...(order === "last" ? [await begin()] : [])];
    expect(watchers).toHaveLength(1001);
    await waitForLoad(cluster, ONE);
    for (let index = 0; index < 1000; index += 50) {
      await writer.txn([0, 1, 2, 3].map((offset) => [keyOf(index + offset), String(index)]));
    }
    await writer.txn([], [keyOf(0), keyOf(1), keyOf(50), keyOf(951)]);
    await toldAll(writer, watchers);
    expect(await upstreamLoad(cluster)).toEqual(ONE);
  });
}

test("watches of ranges that do not share keys cost one each, on one stream", async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const keyOf = (index: number): string => `apart-${index % 10}/key`;
  const watchers = await openAll(fixture.streams(CONNECTIONS), 10, (index) => ({ key: keyOf(index) }));
  await waitForLoad(cluster, { watches: 10, streams: 1 });
  for (let index = 0; index < 10; index++) await writer.put(keyOf(index), "v");
  await toldAll(
    writer,
    watchers.filter(({ expectation }) => expectation.without === undefined),
  );
});

test("a stream without watches is added while a client requires a leader", async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const client = fixture.connect();
  const key = "leader";
  const patient = fixture.stream(client);
  await patient.open({ key });
  await waitForLoad(cluster, ONE);
  const requiring = [client, client, fixture.connect()].map((it) =>
    fixture.stream(it, { hasleader: "true" }),
  );
  for (const stream of requiring) await stream.open({ key });
  await waitForLoad(cluster, { watches: 1, streams: 2 });
  await writer.put(key, "1");
  for (const stream of [patient, ...requiring]) {
    expect(await stream.events(0n, 1)).toEqual(writer.expected({ key }));
  }
  for (const stream of requiring) stream.close();
  await waitForLoad(cluster, ONE);
});

test(`${PAST} watches from different revisions of the past end in the one watch`, async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const range = prefixRange("past/");
  const first = await writer.put(`${range.key}a`, "first");
  for (let index = 1; index < PAST * 3; index++) await writer.put(range.key + (index % 7), String(index));
  const streams = fixture.streams(PAST);
  await Promise.all(
    streams.map((stream, index) => {
      const prevKv = index % 3 === 0;
      return stream.open(range, { startRevision: first + BigInt(index * 3), prevKv });
    }),
  );
  await waitForLoad(cluster, ONE);
  await writer.put(`${range.key}a`, "last");
  for (const [index, stream] of streams.entries()) {
    const expectation = { from: first + BigInt(index * 3), prevKv: index % 3 === 0 };
    const expected = writer.expected(range, expectation);
    expect(await stream.events(0n, expected.length)).toEqual(expected);
  }
  expect(await upstreamLoad(cluster)).toEqual(ONE);
});

test("previous pairs that one client asks for come from the one watch, and when it leaves it stays one", async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const key = "previous";
  const plain = fixture.stream(fixture.connect());
  await plain.open({ key });
  await writer.put(key, "1");
  const wishing = fixture.stream(fixture.connect());
  const { header } = await wishing.open({ key }, { prevKv: true });
  await waitForLoad(cluster, ONE);
  await writer.put(key, "2");
  const from = header!.revision + 1n;
  expect(await wishing.events(0n, 1)).toEqual(writer.expected({ key }, { from, prevKv: true }));
  wishing.close();
  await waitForLoad(cluster, ONE);
  await writer.put(key, "3");
  expect(await plain.events(0n, 3)).toEqual(writer.expected({ key }));
});

test("the last watch of a wide range leaves, and watches inside go on with one each", async () => {
  await using fixture = await Fixture.start();
  const { writer } = fixture;
  const client = fixture.connect();
  const wide = fixture.stream(client);
  await wide.open(prefixRange("wide/"));
  const inner = fixture.stream(client);
  for (const name of ["a", "b", "a"]) await inner.open({ key: `wide/${name}` });
  await waitForLoad(cluster, ONE);
  wide.cancel(0n);
  await wide.canceled(0n);
  await waitForLoad(cluster, { watches: 2, streams: 1 });
  await writer.put("wide/a", "1");
  await writer.put("wide/b", "1");
  for (const [id, name] of ["a", "b", "a"].entries()) {
    expect(await inner.events(BigInt(id), 1)).toEqual(writer.expected({ key: `wide/${name}` }));
  }
});

test(`${USERS} users who watch one range with tokens of their own cost one watch on one stream`, async () => {
  const accounts = new Accounts(direct);
  await accounts.addRoot();
  const range = prefixRange("users/");
  await accounts.addRole("reader", [range]);
  const names = Array.from({ length: USERS }, (_, index) => `user${index}`);
  for (const name of names) {
    await accounts.addUser(name);
    await accounts.grantRole(name, "reader");
  }
  await accounts.enable();
  try {
    await using fixture = await Fixture.start();
    const clients = Array.from({ length: CONNECTIONS }, () => fixture.connect());
    const streams: WatchStream[] = [];
    for (const [index, name] of names.entries()) {
      const client = clients[index % CONNECTIONS]!;
      // Through the proxy, so that the member it uses knows the token.
      const { token } = await new Accounts(client).logIn(name);
      streams.push(fixture.stream(client, { token }));
    }
    await Promise.all(streams.map((stream) => stream.open(range)));
    await waitForLoad(cluster, ONE);
    const writer = new Writer(direct, { ...(await accounts.logIn("root")) });
    await writer.put("users/a", "1");
    await writer.put("users/b", "1");
    for (const stream of streams) expect(await stream.events(0n, 2)).toEqual(writer.expected(range));
    expect(await upstreamLoad(cluster)).toEqual(ONE);
  } finally {
    await accounts.disable();
  }
});

test("with --watch-coalescing=false each watch is one of the cluster's, each stream too", async () => {
  await using fixture = await Fixture.start(["--watch-coalescing=false"]);
  const { writer } = fixture;
  const range = prefixRange("apart/");
  const watchers = await openAll(fixture.streams(4), WATCHES_EACH, () => range);
  await waitForLoad(cluster, { watches: 4 * WATCHES_EACH, streams: 4 });
  await writer.put("apart/a", "1");
  await writer.txn([["apart/b", "1"]], ["apart/a"]);
  await toldAll(writer, watchers);
});
