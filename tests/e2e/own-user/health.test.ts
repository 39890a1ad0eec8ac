/**
 * `/health` in the name of the proxy's own user, with both kinds of tokens, through all that may become of the user,
 * its password and its token.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { EtcdproxyProcess } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { bytes } from "../methods/side.ts";
import {
  type AskedHealth,
  BEYOND_TOKEN_MS,
  HEALTHY,
  OWN_USER,
  type OwnUserScene,
  ownUserScene,
  SHORT_SIMPLE_TOKENS,
  type TokenKind,
} from "./scene.ts";

setDefaultTimeout(90_000);

const SIGNED_IN = "authenticated as --user";
const TROUBLE = "cannot authenticate as --user";
const IN_NAME = { ...HEALTHY, inName: 1, otherwise: 0 };

describe.each<TokenKind>(["simple", "jwt"])("with %s tokens", (kind) => {
  let scene: OwnUserScene;
  beforeAll(async () => {
    scene = await ownUserScene(kind);
    await scene.accounts.enable();
  }, 120_000);
  afterAll(() => scene[Symbol.asyncDispose](), 30_000);

  /** A proxy that has its token. */
  async function signedIn(passwordFile?: string): Promise<EtcdproxyProcess> {
    const proxy = await scene.proxy(passwordFile);
    await proxy.logged(SIGNED_IN);
    return proxy;
  }

  /** Asks for the health until it comes out as wanted. It must be good each time. */
  async function healthUntil(
    what: string,
    proxy: EtcdproxyProcess,
    wanted: (asked: AskedHealth) => boolean,
    intervalMs = 20,
  ): Promise<void> {
    const bad: AskedHealth[] = [];
    await waitFor(
      what,
      async () => {
        const asked = await scene.health(proxy);
        if (asked.status !== HEALTHY.status || asked.body !== HEALTHY.body) bad.push(asked);
        return wanted(asked);
      },
      { intervalMs },
    );
    expect(bad).toEqual([]);
  }

  /** Waits until the health is read in the user's name; it is good all the time. */
  function readInName(proxy: EtcdproxyProcess): Promise<void> {
    return healthUntil("a read in the name of the proxy's user", proxy, ({ inName }) => inName === 1);
  }

  test("it is read in that name", async () => {
    const proxy = await signedIn();
    expect(await proxy.logged(SIGNED_IN)).toMatchObject({
      level: "info",
      user: OWN_USER,
      endpoint: scene.cluster.endpoints[0]!,
    });
    await readInName(proxy);
  });

  test.skipIf(kind === "simple" && !SHORT_SIMPLE_TOKENS)(
    `a token that has run out is renewed, and nobody notices${kind === "simple" ? " (needs etcd 3.5)" : ""}`,
    async () => {
      const proxy = await signedIn();
      const before = await scene.handled("Authenticate", "OK");
      const renewed = ({ otherwise }: AskedHealth): boolean => otherwise === 1;
      await healthUntil("a token to run out", proxy, renewed, BEYOND_TOKEN_MS);
      expect(await scene.handled("Authenticate", "OK")).toBeGreaterThan(before);
      await readInName(proxy);
    },
  );

  test("it is read in that name again once the member has been started anew and knows the token no more", async () => {
    const proxy = await signedIn();
    await readInName(proxy);
    await scene.accounts.endTokens(OWN_USER);
    await scene.restartMember();
    await waitFor("the proxy to be healthy", async () => {
      const { status } = await scene.health(proxy);
      return status === 200;
    });
    await readInName(proxy);
    expect(proxy.log.filter(({ msg }) => msg === TROUBLE)).toEqual([]);
  });

  test("a changed password is picked up from the file, also when that is written too late", async () => {
    const file = scene.passwordFile();
    const proxy = await signedIn(file);
    await readInName(proxy);
    scene.writePassword(file, "a second one");
    await scene.accounts.changePassword(OWN_USER, "a second one");
    await readInName(proxy);
    expect(proxy.log.filter(({ msg }) => msg === TROUBLE)).toEqual([]);
    try {
      await scene.accounts.changePassword(OWN_USER, "a third one");
      const told = (): boolean => proxy.log.some(({ msg }) => msg === TROUBLE);
      await healthUntil("the log to tell of the password", proxy, told);
      const trouble = await proxy.logged(TROUBLE);
      expect(trouble).toMatchObject({ level: "warn", user: OWN_USER, endpoint: scene.cluster.endpoints[0]! });
      expect(trouble["reason"]).toBe("etcdserver: authentication failed, invalid user ID or password");
      scene.writePassword(file, "a third one");
      await readInName(proxy);
      expect(JSON.stringify(proxy.log)).not.toMatch(/a (second|third) one/);
    } finally {
      await scene.accounts.endTokens(OWN_USER);
    }
  });

  test("with a wrong password it is well, clients are served, and etcd is not asked all the time", async () => {
    const before = await scene.handled("Authenticate", "not OK");
    const begunMs = performance.now();
    const proxy = await scene.proxy(scene.passwordFile("a wrong one"));
    expect(await proxy.logged(TROUBLE)).toMatchObject({
      level: "warn",
      user: OWN_USER,
      reason: "etcdserver: authentication failed, invalid user ID or password",
    });
    for (let time = 0; time < 20; time++) {
      expect(await scene.health(proxy)).toEqual({ ...HEALTHY, inName: 0, otherwise: 1 });
    }
    const asked = (await scene.handled("Authenticate", "not OK")) - before;
    // Pauses of half a second, then of one and of two at least.
    expect(asked).toBeWithin(1, 4 + (performance.now() - begunMs) / 2000);
    using client = new GrpcClient(proxy.address);
    const metadata = { ...(await scene.accounts.logIn("reader")) };
    expect(await client.unary(KV.method.range, { key: bytes("p/") }, { metadata })).toMatchObject({
      count: 0n,
    });
    expect(JSON.stringify(proxy.log)).not.toContain("a wrong one");
  });

  test("authentication may be turned off and on", async () => {
    const proxy = await signedIn();
    await readInName(proxy);
    await scene.accounts.disable();
    try {
      await readInName(proxy);
    } finally {
      await scene.accounts.enable();
    }
    await readInName(proxy);
  });

  test("a proxy that was started while authentication was off finds out when it is on", async () => {
    await scene.accounts.disable();
    let proxy: EtcdproxyProcess;
    try {
      proxy = await scene.proxy();
      await proxy.logged("authentication is off in etcd: --user is not needed");
      expect(await scene.health(proxy)).toEqual(IN_NAME);
    } finally {
      await scene.accounts.enable();
    }
    await readInName(proxy);
    await proxy.logged(SIGNED_IN);
  });
});

test("a token that lives for long is renewed at once after a change of roles, which ends it if it is a JWT", async () => {
  await using scene = await ownUserScene("jwt", { shortTokens: false });
  await scene.accounts.enable();
  const proxy = await scene.proxy();
  await proxy.logged(SIGNED_IN);
  let roles = 0;
  // One that was given a moment ago is renewed after a pause only.
  await waitFor(
    "a renewal",
    async () => {
      await scene.accounts.addRole(`role ${++roles}`, []);
      return Bun.deepEquals(await scene.health(proxy), { ...HEALTHY, inName: 1, otherwise: 1 });
    },
    { intervalMs: 2000 },
  );
  expect(await scene.health(proxy)).toEqual(IN_NAME);
});
