/**
 * Shared watches in the name of the proxy's own user: what clients' tokens, and its own, do not do to them any more.
 * How often watches move is told by the member's own account: each move begins a Watch call or a watch.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { Code } from "../../../src/grpc/status.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { bytes } from "../methods/side.ts";
import { Accounts, PASSWORD } from "../watch/accounts.ts";
import { waitForLoad } from "../watch/upstream-load.ts";
import { prefixRange, WatchStream } from "../watch/watch-stream.ts";
import { Writer } from "../watch/writer.ts";
import {
  BEYOND_TOKEN_MS,
  OWN_USER,
  type OwnUserScene,
  ownUserScene,
  SHORT_SIMPLE_TOKENS,
  type TokenKind,
} from "./scene.ts";

setDefaultTimeout(90_000);

const BAD_TOKEN = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
const SIGNED_IN = "authenticated as --user";

/** A proxy with a user of its own, and clients that watch through it. */
class Session implements Disposable {
  readonly scene: OwnUserScene;
  readonly client: GrpcClient;
  readonly accounts: Accounts;
  readonly #stack = new DisposableStack();

  /** `member`: where tokens are asked for. */
  constructor(scene: OwnUserScene, address: string, member = scene.cluster.endpoints[0]!) {
    this.scene = scene;
    this.client = this.#stack.use(new GrpcClient(address));
    this.accounts = new Accounts(this.#stack.use(new GrpcClient(member)), true);
  }

  /** A writer who may write everything. */
  async writer(): Promise<Writer> {
    return new Writer(this.client, { ...(await this.accounts.logIn("root")) });
  }

  async streamOf(user: string): Promise<WatchStream> {
    return this.streamWith((await this.accounts.logIn(user)).token);
  }

  streamWith(token: string): WatchStream {
    return this.#stack.use(new WatchStream(this.client, { metadata: { token } }));
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

async function begin(scene: OwnUserScene): Promise<Session> {
  const proxy = await scene.proxy();
  await proxy.logged(SIGNED_IN);
  return new Session(scene, proxy.address);
}

const RANGE = prefixRange("p/");

describe.each<TokenKind>(["simple", "jwt"])("with %s tokens", (kind) => {
  let scene: OwnUserScene;
  beforeAll(async () => {
    scene = await ownUserScene(kind);
    await scene.accounts.enable();
  }, 120_000);
  afterAll(() => scene[Symbol.asyncDispose](), 30_000);

  test("watches stay where they are when their clients leave, and each client is still checked", async () => {
    using session = await begin(scene);
    const streams = [await session.streamOf("reader"), await session.streamOf("root")];
    for (const stream of streams) await stream.open(RANGE);
    await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
    const opened = await scene.begun();
    streams[0]![Symbol.dispose]();
    const staying = streams[1]!;
    const late = await session.streamOf("reader");
    await late.open(RANGE);
    const nobody = session.streamWith("made-up.1");
    nobody.create(RANGE);
    expect((await nobody.nextCreated()).cancelReason).toBe(BAD_TOKEN);
    const writer = await session.writer();
    await writer.put("p/a", "1");
    for (const stream of [staying, late]) expect(await stream.events(0n, 1)).toEqual(writer.expected(RANGE));
    expect(await scene.begun()).toBe(opened);
    await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
  });

  test("when the member is lost and no token does any more, the user logs in anew and clients come again", async () => {
    using session = await begin(scene);
    const stream = await session.streamOf("reader");
    const { header } = await stream.open(RANGE);
    const first = await session.writer();
    await first.put("p/a", "1");
    expect(await stream.events(0n, 1)).toEqual(first.expected(RANGE));
    for (const user of ["reader", OWN_USER]) await session.accounts.endTokens(user);
    await scene.restartMember();
    const second = await waitFor("root to log in again", () => session.writer());
    await second.put("p/a", "2");
    // As a private watch's call would: its client resumes with a new token.
    const status = await stream.over();
    expect(status.code).toBe(Code.UNAVAILABLE);
    expect(status.details).toStartWith("etcdproxy: the watch's call to a member is over: rpc error: ");
    expect(status.details).toContain(kind === "jwt" ? "revision of auth store is old" : "invalid auth token");
    const again = await session.streamOf("reader");
    await again.open(RANGE, { startRevision: header!.revision + 1n });
    const expected = [...first.expected(RANGE), ...second.expected(RANGE)];
    expect(await again.events(0n, expected.length)).toEqual(expected);
    await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
  });

  test.skipIf(kind === "simple" && !SHORT_SIMPLE_TOKENS)(
    `when all tokens have run out, watches go on, and the next one finds a new token${kind === "simple" ? " (needs etcd 3.5)" : ""}`,
    async () => {
      using session = await begin(scene);
      const { token } = await session.accounts.logIn("reader");
      const early = session.streamWith(token);
      await early.open(RANGE);
      await waitFor(
        "the client's token to run out",
        async () => {
          try {
            await session.client.unary(KV.method.range, { key: bytes("p/") }, { metadata: { token } });
            return false;
          } catch (error) {
            return error instanceof Error && error.message.includes("invalid auth token");
          }
        },
        { intervalMs: BEYOND_TOKEN_MS },
      );
      await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
      // The shared watch has to be begun anew with prev_kv.
      const late = await session.streamOf("reader");
      const { header } = await late.open(RANGE, { prevKv: true });
      const writer = await session.writer();
      await writer.put("p/b", "1");
      await writer.put("p/b", "2");
      expect(await early.events(0n, 2)).toEqual(writer.expected(RANGE));
      const from = header!.revision + 1n;
      expect(await late.events(0n, 2)).toEqual(writer.expected(RANGE, { prevKv: true, from }));
      await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
      early.cancel(0n);
      await early.canceled(0n);
    },
  );
});

test("where the user may not read, watches ride in a client's name beside its own", async () => {
  await using scene = await ownUserScene("simple", { readable: "q/", shortTokens: false });
  await scene.accounts.enable();
  using session = await begin(scene);
  const reader = await session.streamOf("reader");
  await reader.open(RANGE);
  const root = await session.streamOf("root");
  await root.open(prefixRange("q/"));
  await waitForLoad(scene.cluster, { watches: 2, streams: 2 });
  const writer = await session.writer();
  await writer.put("p/a", "1");
  await writer.put("q/a", "1");
  expect(await reader.events(0n, 1)).toEqual(writer.expected(RANGE));
  expect(await root.events(0n, 1)).toEqual(writer.expected(prefixRange("q/")));
});

test("watches from before the user was let in move to its name, and lose nothing", async () => {
  await using scene = await ownUserScene("simple", { shortTokens: false });
  await scene.accounts.enable();
  const file = scene.passwordFile("a wrong one");
  const proxy = await scene.proxy(file);
  await proxy.logged("cannot authenticate as --user");
  using session = new Session(scene, proxy.address);
  const streams = [await session.streamOf("reader"), await session.streamOf("root")];
  for (const stream of streams) await stream.open(RANGE);
  const writer = await session.writer();
  await writer.put("p/a", "1");
  const before = await scene.begun();
  scene.writePassword(file, PASSWORD);
  await proxy.logged(SIGNED_IN);
  await writer.put("p/a", "2");
  await waitFor("a call in the user's name", async () => (await scene.begun()) > before);
  await waitForLoad(scene.cluster, { watches: 1, streams: 1 });
  for (const stream of streams) expect(await stream.events(0n, 2)).toEqual(writer.expected(RANGE));
  // Whoever they rode on before does not matter any more.
  const moved = await scene.begun();
  for (const user of ["reader", "root"]) await session.accounts.endTokens(user);
  streams[0]![Symbol.dispose]();
  const again = await session.writer();
  await again.put("p/a", "3");
  expect(await streams[1]!.events(0n, 3)).toEqual([...writer.expected(RANGE), ...again.expected(RANGE)]);
  expect(await scene.begun()).toBe(moved);
});

test("watches go on at another member in the user's name, but for those whose own tokens have ended", async () => {
  await using scene = await ownUserScene("simple", { shortTokens: false, members: 3 });
  await scene.accounts.enable();
  const proxy = await scene.proxy();
  await proxy.logged(SIGNED_IN);
  const { endpoint } = await proxy.logged("connected to a member");
  const left = scene.cluster.members.find((member) => member.endpoint === endpoint)!;
  const other = scene.cluster.members.find((member) => member !== left)!;
  using session = new Session(scene, proxy.address, other.endpoint);
  const [ended, good] = [await session.streamOf("reader"), await session.streamOf("root")];
  for (const stream of [ended, good]) await stream.open(RANGE);
  const first = await session.writer();
  await first.put("p/a", "1");
  await session.accounts.endTokens("reader");
  await scene.cluster.waitHealthy(); // Each member has read linearizably, so each knows of the token's end.
  await left.kill();
  await scene.cluster.waitHealthy();
  const second = await session.writer();
  await second.put("p/a", "2");
  expect(await good.events(0n, 2)).toEqual([...first.expected(RANGE), ...second.expected(RANGE)]);
  expect((await ended.over()).code).toBe(Code.UNAVAILABLE);
});
