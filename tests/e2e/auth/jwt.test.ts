/**
 * JSON Web Tokens, which etcd does not remember but reads: one tells its user, when it ends, and the revision of users and
 * roles that it was given at. After any change of those all tokens that were given before are refused.
 *
 * The keys are made for the test.
 */
import { beforeAll, expect, test } from "bun:test";
import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { etcdctl, EtcdctlStream } from "../../harness/etcdctl.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { LeaseStream } from "../lease/lease-stream.ts";
import { bytes } from "../methods/side.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { Accounts, PASSWORD } from "../watch/accounts.ts";
import { prefixRange, type WatchedRange, WatchStream } from "../watch/watch-stream.ts";
import { Writer } from "../watch/writer.ts";
import { addPeople, administer, CHEAP_PASSWORDS, tokenOf } from "./people.ts";
import { outcomeOf, sameOutcomes } from "./same-outcomes.ts";

const OLD_REVISION = "3 etcdserver: revision of auth store is old";
const BAD_TOKEN = "16 etcdserver: invalid auth token";
const DENIED = "7 etcdserver: permission denied";
/** How long tokens live, longer than a case, and less than who waits for the end of one is given. */
const TOKEN_LIFE_SECONDS = 20;

const folder = new TemporaryFolder("jwt");
const rsa = { publicKeyEncoding: { type: "spki", format: "pem" } } as const;
const keys = (): { publicKey: string; privateKey: string } =>
  generateKeyPairSync("rsa", {
    modulusLength: 2048,
    ...rsa,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
const own = keys();
const foreign = keys();
for (const [name, key] of Object.entries(own)) writeFileSync(folder.file(name), key);
const TOKEN_FLAG =
  `--auth-token=jwt,pub-key=${folder.file("publicKey")},priv-key=${folder.file("privateKey")},` +
  `sign-method=RS256,ttl=${TOKEN_LIFE_SECONDS}s`;

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS, TOKEN_FLAG] });
const eachTarget = eachTargetOf(targets);
const member = (): string => targets.cluster.member(0).endpoint;

beforeAll(() => addPeople(member()), 60_000);

/** Changes users and roles, so that every token is one of an old revision. */
async function change(): Promise<void> {
  await administer(member(), async (accounts) => {
    const user = `another-${Date.now()}-${Math.random()}`;
    await accounts.addUser(user);
    await accounts.deleteUser(user);
  });
}

type Metadata = Readonly<Record<string, string>>;

async function metadataOf(user: string): Promise<Metadata> {
  return { ...(await tokenOf(member(), user)) };
}

type Attempts = Readonly<
  Record<
    | "read"
    | "serializable read"
    | "and again"
    | "read of another's"
    | "put"
    | "grant"
    | "list"
    | "watch"
    | "watch of another's",
    string
  >
>;

/** How calls of each kind end. */
async function attempts(target: Target, metadata: Metadata): Promise<Attempts> {
  using client = new GrpcClient(target.address);
  using watch = new WatchStream(client, { metadata });
  const key = bytes(`p/${target.name}/jwt`);
  const options = { metadata };
  const range = { key, rangeEnd: bytes("p0") };
  const watched = async (watched: WatchedRange): Promise<string> => {
    watch.create(watched);
    const { canceled, cancelReason } = await watch.nextCreated();
    return canceled ? cancelReason : "OK";
  };
  return {
    read: await outcomeOf(client.unary(KV.method.range, range, options)),
    "serializable read": await outcomeOf(
      client.unary(KV.method.range, { ...range, serializable: true }, options),
    ),
    "and again": await outcomeOf(client.unary(KV.method.range, { ...range, serializable: true }, options)),
    "read of another's": await outcomeOf(client.unary(KV.method.range, { key: bytes("q/") }, options)),
    put: await outcomeOf(client.unary(KV.method.put, { key }, options)),
    grant: await outcomeOf(client.unary(Lease.method.leaseGrant, { TTL: 60n }, options)),
    list: await outcomeOf(client.unary(Lease.method.leaseLeases, {}, options)),
    watch: await watched(prefixRange("p/")),
    "watch of another's": await watched({ key: "q/" }),
  };
}

for (const [who, bearer] of [
  ["in `token`", (token: string) => ({ token })],
  ["in `authorization`", (token: string) => ({ authorization: token })],
  ["in `authorization`, as a bearer's", (token: string) => ({ authorization: `Bearer ${token}` })],
] as const) {
  sameOutcomes(
    eachTarget,
    `a token ${who} is taken as etcd takes it`,
    async (target) => attempts(target, bearer((await metadataOf("reader"))["token"]!)),
    (outcome) => {
      if (outcome.put === BAD_TOKEN) expect(who).toContain("bearer");
      else
        expect(outcome).toMatchObject({
          read: "OK",
          "and again": "OK",
          "read of another's": DENIED,
          watch: "OK",
        });
    },
  );
}

sameOutcomes(
  eachTarget,
  "a token that was given before users or roles changed is refused in etcd's own words, and a new one is not",
  async (target) => {
    const metadata = await metadataOf("reader");
    const before = await attempts(target, metadata);
    await change();
    const after = await attempts(target, metadata);
    return { before, after, anew: await attempts(target, await metadataOf("reader")) };
  },
  ({ before, after, anew }) => {
    expect(after).toMatchObject({ read: OLD_REVISION, "serializable read": OLD_REVISION });
    expect(after.watch).toEndWith("etcdserver: revision of auth store is old");
    expect(anew).toEqual(before);
  },
);

const base64 = (value: object | Buffer): string =>
  (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString("base64url");

/** A token as etcd makes them, but for what is said. */
function forged(sign: (text: string) => { algorithm: string; signature: Buffer }, claims: object): string {
  const payload = {
    username: "root",
    revision: 1_000_000,
    exp: Math.floor(Date.now() / 1000) + 60,
    ...claims,
  };
  const { algorithm } = sign("");
  const text = `${base64({ alg: algorithm, typ: "JWT" })}.${base64(payload)}`;
  return `${text}.${base64(sign(text).signature)}`;
}

const byRsa = (privateKey: string) => (text: string) => ({
  algorithm: "RS256",
  signature: createSign("RSA-SHA256").update(text).sign(privateKey),
});
const FORGERIES: Readonly<Record<string, () => string>> = {
  "signed by another key": () => forged(byRsa(foreign.privateKey), {}),
  "signed by nobody": () => forged(() => ({ algorithm: "none", signature: Buffer.alloc(0) }), {}),
  "signed with the public key as a secret": () =>
    forged(
      (text) => ({
        algorithm: "HS256",
        signature: createHmac("sha256", own.publicKey).update(text).digest(),
      }),
      {},
    ),
  "that has ended": () => forged(byRsa(own.privateKey), { exp: Math.floor(Date.now() / 1000) - 60 }),
  "of nobody": () => forged(byRsa(own.privateKey), { username: "no-such-user" }),
  "cut short": () => forged(byRsa(own.privateKey), {}).slice(0, -10),
};
for (const [kind, forge] of Object.entries(FORGERIES)) {
  sameOutcomes(
    eachTarget,
    `a token ${kind} is refused as by etcd, also while root's answers are cached`,
    async (target) => {
      const root = await attempts(target, await metadataOf("root"));
      expect(root).toMatchObject({ read: "OK", "read of another's": "OK" });
      return await attempts(target, { token: forge() });
    },
    (outcome) => {
      const refusal = kind === "of nobody" ? DENIED : BAD_TOKEN;
      expect(outcome).toMatchObject({ read: refusal, "serializable read": refusal, put: refusal });
      expect(outcome.watch).toEndWith(refusal.slice(refusal.indexOf("etcdserver")));
    },
  );
}

eachTarget(
  "a watch lives on when its token is of an old revision, and so do those beside it",
  async (target) => {
    const range = prefixRange(`p/${target.name}/lives/`);
    using client = new GrpcClient(target.address);
    // The first one carries the others.
    using first = new WatchStream(client, { metadata: await metadataOf("reader") });
    await first.open(range);
    using second = new WatchStream(client, { metadata: await metadataOf("second") });
    await second.open(range);
    const before = new Writer(client, await metadataOf("root"));
    await before.put(`${range.key}a`, "1");
    await change();
    const writer = new Writer(client, await metadataOf("root"));
    await writer.put(`${range.key}b`, "1");
    first.create(range);
    expect((await first.nextCreated()).cancelReason).toEndWith("etcdserver: revision of auth store is old");
    // It wants more than the shared watch has, which none of the old tokens can begin anew.
    using late = new WatchStream(client, { metadata: await metadataOf("second") });
    const { header } = await late.open(range, { prevKv: true });
    using wider = new WatchStream(client, { metadata: await metadataOf("root") });
    await wider.open(prefixRange("p/"));
    await writer.put(`${range.key}b`, "2");
    await writer.put(`${range.key}b`, "3");
    const all = [...before.expected(range), ...writer.expected(range)];
    for (const stream of [first, second]) expect(await stream.events(0n, 4)).toEqual(all);
    const from = header!.revision + 1n;
    expect(await late.events(0n, 2)).toEqual(writer.expected(range, { prevKv: true, from }));
    expect(await wider.events(0n, 2)).toEqual(writer.expected(range, { from }));
    first.cancel(0n);
    await first.canceled(0n);
  },
);

async function livesOn(target: Target): Promise<void> {
  const range = prefixRange(`p/${target.name}/ends/`);
  using client = new GrpcClient(target.address);
  const metadata = await metadataOf("reader");
  using stream = new WatchStream(client, { metadata });
  await stream.open(range);
  const read = { key: bytes(range.key), serializable: true };
  await waitFor(
    "the token to end",
    async () => (await outcomeOf(client.unary(KV.method.range, read, { metadata }))) === BAD_TOKEN,
    { deadlineMs: 2 * TOKEN_LIFE_SECONDS * 1000 },
  );
  const writer = new Writer(client, await metadataOf("root"));
  await writer.put(`${range.key}a`, "1");
  expect(await stream.events(0n, 1)).toEqual(writer.expected(range));
}

test("direct, gateway and grpcProxy: a token that ends is refused, and what lives on it lives on", async () => {
  const names = ["direct", "gateway", "grpcProxy"] as const;
  await Promise.all(names.map((name) => livesOn(targets.target(name))));
});

sameOutcomes(
  eachTarget,
  "a heartbeat with a token of an old revision is answered as at this version of etcd, and one beside it is",
  async (target) => {
    using client = new GrpcClient(target.address);
    const old = await metadataOf("reader");
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 600n }, { metadata: old });
    await client.unary(KV.method.put, { key: bytes(`p/${target.name}/beat`), lease: ID }, { metadata: old });
    using stream = new LeaseStream(client, { metadata: old });
    await stream.beat(ID);
    await change();
    const beat = async (each: LeaseStream): Promise<string> => {
      try {
        return `TTL ${(await each.beat(ID)).TTL}`;
      } catch {
        const { code, details } = await each.over();
        return `${code} ${details}`;
      }
    };
    using fresh = new LeaseStream(client, { metadata: await metadataOf("second") });
    return { old: await beat(stream), fresh: await beat(fresh) };
  },
  ({ fresh }) => expect(fresh).toBe("TTL 600"),
);

eachTarget("etcdctl goes on through changes of roles: it asks for a new token", async (target) => {
  const user = `--user=reader:${PASSWORD}`;
  const prefix = `p/${target.name}/etcdctl/`;
  await using watch = new EtcdctlStream(target.endpoints, [user, "watch", prefix, "--prefix"]);
  for (let round = 0; round < 3; round++) {
    await waitFor("the watch to see a put", async () => {
      const { code, stderr } = await etcdctl(target.endpoints, [user, "put", `${prefix}${round}`, "1"]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
      return watch.stdout.lines.includes(`${prefix}${round}`);
    });
    await change();
  }
});

test("grpcProxy: after a change of roles a cached answer is for no token that was given before", async () => {
  using client = new GrpcClient(targets.grpcProxy.address);
  const key = bytes("p/cached");
  const metadata = await metadataOf("reader");
  const read = (): Promise<string> =>
    outcomeOf(client.unary(KV.method.range, { key, serializable: true }, { metadata }));
  expect([await read(), await read()]).toEqual(["OK", "OK"]);
  // Through this proxy: at once.
  await new Accounts(client, true).addUser("changes-the-revision");
  expect(await read()).toBe(OLD_REVISION);
});
