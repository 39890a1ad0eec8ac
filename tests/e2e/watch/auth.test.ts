/**
 * Watches while authentication is on: who may begin one, and what becomes of it when tokens, roles and users go.
 *
 * etcd asks for permission when a watch begins, and never again. Tokens are known to the member that gave them
 * first, so all targets go to one member.
 */
import { beforeAll, expect } from "bun:test";
import { testSince } from "../../harness/etcd-version.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { eachTargetOf, type Target, type TargetName, useTargets } from "../targets.ts";
import { Accounts, type Credentials } from "./accounts.ts";
import { describedAnswer, prefixRange, type WatchedRange, WatchStream } from "./watch-stream.ts";
import { Writer } from "./writer.ts";

const targets = useTargets({ proxiedMembers: [0] });
const eachTarget = eachTargetOf(targets);

const DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
const NO_TOKEN = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
const BAD_TOKEN = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
const EMPTY_RANGE = "mvcc: watcher range is empty";

const READABLE = prefixRange("p/");

beforeAll(async () => {
  using client = new GrpcClient(targets.cluster.member(0).endpoint);
  const accounts = new Accounts(client);
  await accounts.addRoot();
  await accounts.addRole("prefix", [READABLE]);
  await accounts.addRole("rest", [{ key: "p/", rangeEnd: "\0" }]);
  await accounts.addRole("key", [{ key: "p/one" }]);
  for (const [user, roles] of [
    ["reader", ["prefix"]],
    ["rest", ["rest"]],
    ["keyholder", ["key"]],
    ["nobody", []],
  ] as const) {
    await accounts.addUser(user);
    for (const role of roles) await accounts.grantRole(user, role);
  }
  await accounts.enable();
}, 60_000);

/** A connection of a target, with its users, and a writer who may write everything. */
class Session implements Disposable {
  readonly client: GrpcClient;
  readonly accounts: Accounts;
  readonly #stack = new DisposableStack();

  constructor(target: Target) {
    this.client = this.#stack.use(new GrpcClient(target.address));
    const direct = this.#stack.use(new GrpcClient(targets.cluster.member(0).endpoint));
    this.accounts = new Accounts(direct, true);
  }

  async writer(): Promise<Writer> {
    return new Writer(this.client, { ...(await this.accounts.logIn("root")) });
  }

  /** A stream with this metadata; closed with the session. */
  stream(credentials: Partial<Credentials>): WatchStream {
    return this.#stack.use(new WatchStream(this.client, { metadata: { ...credentials } }));
  }

  /** A stream of a user who has just logged in. */
  async streamOf(user: string): Promise<WatchStream> {
    return this.stream(await this.accounts.logIn(user));
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** What the next create request is refused with. */
async function refused(stream: WatchStream, range: WatchedRange, watchId = 0n): Promise<string> {
  stream.create(range, { watchId });
  const answer = await stream.nextCreated();
  expect({ told: describedAnswer(answer), canceled: answer.canceled, watchId: answer.watchId }).toEqual({
    told: expect.any(String),
    canceled: true,
    watchId: -1n,
  });
  expect(answer.header!.revision).toBeGreaterThan(0n);
  expect(answer).toMatchObject({ compactRevision: 0n, events: [] });
  return answer.cancelReason;
}

eachTarget(
  "a create is refused with etcd's own reason, and nobody else's watch is touched",
  async (target) => {
    using session = new Session(target);
    const writer = await session.writer();
    const key = `p/${target.name}/refused`;
    const reader = await session.streamOf("reader");
    await reader.open({ key });
    const everything = await session.streamOf("root");
    await everything.open({ key: "\0", rangeEnd: "\0" });

    expect(await refused(session.stream({}), { key })).toBe(NO_TOKEN);
    expect(await refused(session.stream({ token: "made-up.1" }), { key })).toBe(BAD_TOKEN);
    const nobody = await session.streamOf("nobody");
    expect(await refused(nobody, { key })).toBe(DENIED);
    expect(await refused(nobody, { key }, 7n)).toBe(DENIED);
    // Permission comes first.
    expect(await refused(nobody, { key: "b", rangeEnd: "a" })).toBe(DENIED);
    expect(await refused(reader, { key: "p/b", rangeEnd: "p/a" })).toBe(EMPTY_RANGE);
    expect(await refused(reader, { key: "q" }, 0n)).toBe(DENIED);
    // A refused watch has used up no id.
    expect((await reader.open({ key })).watchId).toBe(1n);

    const from = await writer.put(key, "1");
    for (const [stream, id] of [
      [reader, 0n],
      [reader, 1n],
      [everything, 0n],
    ] as const) {
      expect(await stream.events(id, 1)).toEqual(writer.expected({ key }, { from }));
    }
    expect(nobody.ended).toBe(false);
  },
);

eachTarget("nobody sees more than the own range, though root watches all keys", async (target) => {
  using session = new Session(target);
  const writer = await session.writer();
  const root = await session.streamOf("root");
  await root.open({ key: "\0", rangeEnd: "\0" });
  await root.open({ key: "p", rangeEnd: "q" });
  const reader = await session.streamOf("reader");
  for (const range of [
    { key: "p/", rangeEnd: "p1" },
    { key: "p", rangeEnd: "p0" },
    { key: "o", rangeEnd: "\0" },
    { key: "\0", rangeEnd: "\0" },
    { key: "" },
    { key: "", rangeEnd: "p/a" },
    { key: "q" },
  ]) {
    expect([range, await refused(reader, range)]).toEqual([range, DENIED]);
  }
  const rest = await session.streamOf("rest");
  expect(await refused(rest, { key: "o", rangeEnd: "\0" })).toBe(DENIED);
  const keyholder = await session.streamOf("keyholder");
  expect(await refused(keyholder, { key: "p/one", rangeEnd: "p/two" })).toBe(DENIED);

  const base = `p/${target.name}/own`;
  await reader.open(READABLE);
  await reader.open({ key: `${base}/b`, rangeEnd: `${base}/c` }, { prevKv: true });
  await rest.open({ key: "p/", rangeEnd: "\0" });
  await rest.open({ key: "q", rangeEnd: "\0" });
  await keyholder.open({ key: "p/one" });
  await writer.txn([
    [`${base}/a`, "1"],
    [`${base}/b`, "1"],
    [`q/${target.name}`, "1"],
  ]);
  await writer.put("p/one", "1");
  await writer.put(`o/${target.name}`, "1");
  await writer.put(`${base}/b`, "2");
  await writer.put(`q/${target.name}`, "2");
  await writer.put("p/one", "2");
  for (const [stream, id, range, prevKv] of [
    [root, 0n, { key: "\0", rangeEnd: "\0" }, false],
    [root, 1n, { key: "p", rangeEnd: "q" }, false],
    [reader, 0n, READABLE, false],
    [reader, 1n, { key: `${base}/b`, rangeEnd: `${base}/c` }, true],
    [rest, 0n, { key: "p/", rangeEnd: "\0" }, false],
    [rest, 1n, { key: "q", rangeEnd: "\0" }, false],
    [keyholder, 0n, { key: "p/one" }, false],
  ] as const) {
    const expected = writer.expected(range, { prevKv });
    const told = await stream.events(id, expected.length);
    expect({ range, told }).toEqual({ range, told: expected });
  }
});

const NAMES: readonly TargetName[] = ["direct", "gateway", "grpcProxy"];
for (const name of NAMES) {
  // Older ones take "\0" for a key's end here and look at the one key only (GHSA-xg4h-6gfc-h4m8).
  testSince(
    "3.7",
    `${name}: from a key that may be read, on to the end, needs permission for all`,
    async () => {
      using session = new Session(targets.target(name));
      const root = await session.streamOf("root");
      await root.open({ key: "\0", rangeEnd: "\0" });
      const reader = await session.streamOf("reader");
      expect(await refused(reader, { key: "p/", rangeEnd: "\0" })).toBe(DENIED);
      const keyholder = await session.streamOf("keyholder");
      expect(await refused(keyholder, { key: "p/one", rangeEnd: "\0" })).toBe(DENIED);
    },
  );
}

eachTarget(
  "when one user's tokens end, all watches go on, but that stream can begin none",
  async (target) => {
    using session = new Session(target);
    const { accounts } = session;
    const range = prefixRange(`p/${target.name}/tokens/`);
    const user = `${target.name}-leaving`;
    await accounts.addUser(user);
    await accounts.grantRole(user, "prefix");
    // The one that leaves came first, so that others ride on what it began.
    const leaving = await session.streamOf(user);
    await leaving.open(range);
    const staying = await Promise.all([session.streamOf("reader"), session.streamOf("root")]);
    for (const stream of staying) await stream.open(range);
    const writer = await session.writer();
    await writer.put(`${range.key}a`, "1");
    await accounts.endTokens(user);
    await writer.put(`${range.key}a`, "2");
    expect(await refused(leaving, range)).toBe(BAD_TOKEN);
    // A wish that a shared watch may have to be begun anew for.
    const late = await session.streamOf("reader");
    const { header } = await late.open(range, { prevKv: true });
    await writer.put(`${range.key}a`, "3");
    await writer.put(`${range.key}b`, "1");
    for (const stream of [leaving, ...staying]) {
      expect(await stream.events(0n, 4)).toEqual(writer.expected(range));
    }
    const from = header!.revision + 1n;
    expect(await late.events(0n, 2)).toEqual(writer.expected(range, { prevKv: true, from }));
  },
);

eachTarget("when a role or a user goes, a watch that lives goes on, and none begins", async (target) => {
  using session = new Session(target);
  const { accounts } = session;
  const key = `p/${target.name}/roles`;
  const user = `${target.name}-changing`;
  await accounts.addUser(user);
  await accounts.grantRole(user, "prefix");
  const changing = await session.streamOf(user);
  await changing.open({ key });
  const reader = await session.streamOf("reader");
  await reader.open({ key });
  await accounts.revokeRole(user, "prefix");
  const writer = await session.writer();
  await writer.put(key, "role gone");
  expect(await refused(changing, { key })).toBe(DENIED);
  expect(await refused(await session.streamOf(user), { key })).toBe(DENIED);
  await accounts.deleteUser(user);
  const again = await session.writer();
  const from = await again.put(key, "user gone");
  expect(await refused(changing, { key })).toBe(BAD_TOKEN);
  const expected = [...writer.expected({ key }), ...again.expected({ key }, { from })];
  for (const stream of [changing, reader]) expect(await stream.events(0n, 2)).toEqual(expected);
});

eachTarget("watches live on while authentication is turned off and on again", async (target) => {
  using session = new Session(target);
  const { accounts, client } = session;
  const range = prefixRange(`p/${target.name}/off-and-on/`);
  const before = await Promise.all([session.streamOf("reader"), session.streamOf("root")]);
  for (const stream of before) await stream.open(range);
  const first = await session.writer();
  await first.put(`${range.key}a`, "on");
  await accounts.disable();
  const second = new Writer(client);
  await second.put(`${range.key}a`, "off");
  const meanwhile = session.stream({});
  await meanwhile.open(range);
  await second.put(`${range.key}b`, "off");
  await accounts.enable();
  const third = await session.writer();
  await third.put(`${range.key}a`, "on again");
  expect(await refused(meanwhile, range)).toBe(NO_TOKEN);
  expect(await refused(before[0], range)).toBe(BAD_TOKEN);
  const after = await session.streamOf("reader");
  await after.open(range);
  await third.put(`${range.key}a`, "the last one");
  const all = [first, second, third].flatMap((writer) => writer.expected(range));
  for (const stream of before) expect(await stream.events(0n, 5)).toEqual(all);
  expect(await meanwhile.events(0n, 3)).toEqual(all.slice(2));
  expect(await after.events(0n, 1)).toEqual(all.slice(4));
});
