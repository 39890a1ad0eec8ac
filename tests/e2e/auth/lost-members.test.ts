/**
 * Watches of users whose member is lost. A private watch ends with its connection, and its client begins it anew
 * under what he may do then; one that is shared must show nothing more than that, and lose nothing of it.
 */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { etcdctl, EtcdctlStream } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { Accounts, PASSWORD } from "../watch/accounts.ts";
import { prefixRange, WatchStream } from "../watch/watch-stream.ts";
import { Writer } from "../watch/writer.ts";
import { addPeople, administer, CHEAP_PASSWORDS, tokenOf } from "./people.ts";

const targets = useTargets({ memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);
setDefaultTimeout(120_000);

const UNAVAILABLE = 14;
const BROKEN = "etcdproxy: the watch's call to a member is over: rpc error: code = ";
/** What etcdctl is given to come back; it asks again every third of a lease's time. */
const RETURN_MS = 60_000;
const TTL_SECONDS = 15;
const TRIES_MAX = 5;

beforeAll(() => addPeople(targets.cluster.member(2).endpoint), 60_000);

/** Clients of one proxy, which stands in front of the first two members; tokens are asked for at the third. */
class Scene implements AsyncDisposable {
  readonly client: GrpcClient;
  readonly #proxy: EtcdproxyProcess;
  readonly #stack = new DisposableStack();

  private constructor(proxy: EtcdproxyProcess) {
    this.#proxy = proxy;
    this.client = this.#stack.use(new GrpcClient(proxy.address));
  }

  static async start(): Promise<Scene> {
    return new Scene(await startGrpcProxy(targets.cluster.endpoints.slice(0, 2)));
  }

  static get keeper(): string {
    return targets.cluster.member(2).endpoint;
  }

  async streamOf(user: string | null): Promise<WatchStream> {
    const metadata = user === null ? {} : { ...(await tokenOf(Scene.keeper, user)) };
    return this.#stack.use(new WatchStream(this.client, { metadata }));
  }

  /** Somebody who writes by the member that is never lost. */
  async writer(user: string | null = "root"): Promise<Writer> {
    const client = this.#stack.use(new GrpcClient(Scene.keeper));
    return new Writer(client, user === null ? {} : { ...(await tokenOf(Scene.keeper, user)) });
  }

  /** Kills the member that the proxy uses, until `run` has ended. */
  async without(run: () => Promise<void>): Promise<void> {
    const used = this.#proxy.log.findLast(({ msg }) => msg === "connected to a member")!["endpoint"];
    const member = targets.cluster.members.find(({ endpoint }) => endpoint === used)!;
    await member.kill();
    try {
      // It may have been the leader.
      await targets.cluster.waitHealthy();
      await run();
    } finally {
      member.restart();
      await targets.cluster.waitHealthy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#proxy[Symbol.asyncDispose]();
  }
}

test("grpcProxy: who may watch no more is shown nothing of another member, and who may loses nothing", async () => {
  await using scene = await Scene.start();
  const range = prefixRange("p/revoked/");
  await administer(Scene.keeper, async (accounts) => {
    for (const user of ["revoked", "deleted", "renewed"]) {
      await accounts.addUser(user);
      await accounts.grantRole(user, "prefix");
    }
  });
  // Those who are to lose it come first: the others ride on what they began.
  const losing = [
    await scene.streamOf("revoked"),
    await scene.streamOf("deleted"),
    await scene.streamOf("renewed"),
  ];
  const staying = [
    await scene.streamOf("reader"),
    await scene.streamOf("second"),
    await scene.streamOf("root"),
  ];
  for (const stream of [...losing, ...staying]) await stream.open(range);
  const before = await scene.writer();
  await before.put(`${range.key}a`, "before");
  await administer(Scene.keeper, async (accounts) => {
    await accounts.revokeRole("revoked", "prefix");
    await accounts.deleteUser("deleted");
    await accounts.endTokens("renewed");
  });
  const writer = await scene.writer();
  await writer.put(`${range.key}a`, "nobody asks while a watch lives");
  const alive = [...before.expected(range), ...writer.expected(range)];
  for (const stream of [...losing, ...staying]) expect(await stream.events(0n, 2)).toEqual(alive);

  await scene.without(async () => {
    await writer.put(`${range.key}a`, "after");
    await writer.put(`${range.key}b`, "after");
    const all = [...before.expected(range), ...writer.expected(range)];
    for (const stream of staying) expect(await stream.events(0n, 4)).toEqual(all);
    const reasons = [
      "PermissionDenied desc = etcdserver: permission denied",
      "Unauthenticated desc = etcdserver: invalid auth token",
      "Unauthenticated desc = etcdserver: invalid auth token",
    ];
    for (const [index, stream] of losing.entries()) {
      const { code, details } = await stream.over();
      expect({ code, details }).toEqual({ code: UNAVAILABLE, details: `${BROKEN}${reasons[index]}` });
      expect(stream.seen(0n)).toEqual(alive);
    }
    const again = await scene.streamOf("renewed");
    await again.open(range, { startRevision: (await writer.put(`${range.key}c`, "last")) - 2n });
    expect(await again.events(0n, 3)).toEqual(writer.expected(range).slice(1));
  });
});

test("grpcProxy: who watched while authentication was off is not shown what comes from another member once it is on", async () => {
  await administer(Scene.keeper, (accounts) => accounts.disable());
  await using scene = await Scene.start();
  const range = prefixRange("p/off/");
  const nameless = await scene.streamOf(null);
  await nameless.open(range);
  const early = await scene.writer(null);
  await early.put(`${range.key}a`, "off");
  using direct = new GrpcClient(Scene.keeper);
  await new Accounts(direct).enable();
  const root = await scene.streamOf("root");
  await root.open(range);
  const writer = await scene.writer();
  await writer.put(`${range.key}a`, "on");
  const shown = [...early.expected(range), ...writer.expected(range)];
  expect(await nameless.events(0n, 2)).toEqual(shown);
  await scene.without(async () => {
    await writer.put(`${range.key}a`, "elsewhere");
    expect(await root.events(0n, 2)).toEqual(writer.expected(range));
    const { code, details } = await nameless.over();
    expect({ code, details }).toEqual({
      code: UNAVAILABLE,
      details: `${BROKEN}InvalidArgument desc = etcdserver: user name is empty`,
    });
    expect(nameless.seen(0n)).toEqual(shown);
  });
});

/** Restarts all members once the tokens of a user have ended: they would find them again in their logs. */
async function restartedWithout(user: string): Promise<void> {
  await administer(Scene.keeper, (accounts) => accounts.endTokens(user));
  await Promise.all(targets.cluster.members.map((member) => member.kill()));
  for (const member of targets.cluster.members) member.restart();
  await targets.cluster.waitHealthy(60_000);
}

/** An etcdctl that watches what `put` puts. A member that has just been restarted may turn the first one away. */
async function begun(
  target: Target,
  command: readonly string[],
  put: () => Promise<void>,
): Promise<EtcdctlStream> {
  for (let tries = 1; ; tries++) {
    const watch = new EtcdctlStream(target.endpoints, command);
    let over = false;
    void watch.exited.then(() => (over = true));
    await waitFor("the watch to begin, or to end", async () => {
      await put();
      return over || watch.stdout.lines.length > 0;
    });
    if (watch.stdout.lines.length > 0) return watch;
    await watch[Symbol.asyncDispose]();
    if (tries === TRIES_MAX) throw new Error(`etcdctl does not watch: ${watch.stderr.lines.join("\n")}`);
  }
}

eachTarget(
  "etcdctl watches on when all members have been restarted and know none of its tokens",
  async (target) => {
    const prefix = `p/${target.name}/restarted/`;
    const user = `--user=reader:${PASSWORD}`;
    const put = async (key: string): Promise<void> => {
      const { code, stderr } = await etcdctl(targets.cluster.endpoints, [
        user,
        "put",
        `${prefix}${key}`,
        "1",
      ]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
    };
    await using watch = await begun(target, [user, "watch", prefix, "--prefix"], () => put("probe"));
    await restartedWithout("reader");
    await put("after");
    await watch.stdout.find(
      "what was written after the restart",
      (line) => (line === `${prefix}after` ? line : undefined),
      RETURN_MS,
    );
  },
);

eachTarget(
  "etcdctl keeps a lease alive when all members have been restarted and know none of its tokens",
  async (target) => {
    const user = `--user=reader:${PASSWORD}`;
    const { stdout } = await etcdctl(targets.cluster.endpoints, [user, "lease", "grant", `${TTL_SECONDS}`]);
    const [, id = ""] = /lease ([0-9a-f]+) granted/.exec(stdout) ?? [];
    await using alive = new EtcdctlStream(target.endpoints, [user, "lease", "keep-alive", id]);
    expect(await alive.nextLine()).toBe(`lease ${id} keepalived with TTL(${TTL_SECONDS})`);
    await restartedWithout("reader");
    const before = alive.stdout.lines.length;
    await waitFor("further heartbeats", () => alive.stdout.lines.length > before, {
      deadlineMs: RETURN_MS,
    });
  },
);
