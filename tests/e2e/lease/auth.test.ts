/**
 * Heartbeats of users: a token or a permission that is wanting ends the streams it concerns, as at this version of
 * etcd, and none beside them. Newer ones (3.4.42, 3.5.28, 3.6.9) look at the token of each heartbeat, older ones at
 * none: what `direct` shows is what the others have to show.
 *
 * A cluster of its own, whose tokens live for two seconds after their last use.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdVersion, isSince } from "../../harness/etcd-version.ts";
import { ensureBuilt, startGateway, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";
import { Accounts, type Credentials } from "../watch/accounts.ts";
import { LeaseStream } from "./lease-stream.ts";

setDefaultTimeout(60_000);

const TTL_SECONDS = 600n;
/** Longer than a token lives unused, because asking for it is a use. */
const ASK_EVERY_MS = 4_000;
/** Since then tokens have a time to live that can be chosen. */
const TOKEN_FLAGS = isSince(etcdVersion(), [3, 5, 0]) ? ["--auth-token-ttl=2"] : [];

const stack = new AsyncDisposableStack();
let cluster: EtcdCluster;
const addressOf: Record<string, string> = {};

beforeAll(async () => {
  cluster = stack.use(await startEtcdCluster({ members: 1, flags: TOKEN_FLAGS }));
  await ensureBuilt();
  addressOf["direct"] = cluster.member(0).endpoint;
  addressOf["gateway"] = stack.use(await startGateway(cluster.endpoints)).address;
  addressOf["grpcProxy"] = stack.use(await startGrpcProxy(cluster.endpoints)).address;
  using client = new GrpcClient(cluster.member(0).endpoint);
  const accounts = new Accounts(client);
  await accounts.addRoot();
  await accounts.addRole("reader", [{ key: "p/", rangeEnd: "p0" }]);
  for (const name of ["first", "second", "powerless"]) await accounts.addUser(name);
  for (const name of ["first", "second"]) await accounts.grantRole(name, "reader");
  await accounts.enable();
}, 120_000);

afterAll(() => stack.disposeAsync(), 30_000);

/** What a stream shows: TTLs of answers, and how it ended if it did. */
async function shown(stream: LeaseStream, id: bigint): Promise<string> {
  try {
    return `TTL ${(await stream.beat(id)).TTL}`;
  } catch {
    const { code, details } = await stream.over();
    return `${code} ${details}`;
  }
}

/** A lease with a key that only `first` and `second` may touch. */
async function grantWithKey(target: string): Promise<bigint> {
  using direct = new GrpcClient(cluster.member(0).endpoint);
  const metadata = { ...(await new Accounts(direct, true).logIn("root")) };
  const { ID } = await direct.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS }, { metadata });
  await direct.unary(KV.method.put, { key: bytes(`p/${target}`), lease: ID }, { metadata });
  return ID;
}

async function outcomes(target: string): Promise<Record<string, string>> {
  const id = await grantWithKey(target);
  using client = new GrpcClient(addressOf[target]!);
  const accounts = new Accounts(client, true);
  const good = { ...(await accounts.logIn("first")) };
  const powerless = { ...(await accounts.logIn("powerless")) };
  const streams = {
    "a user": new LeaseStream(client, { metadata: good }),
    nobody: new LeaseStream(client),
    "a token that never was": new LeaseStream(client, { metadata: { token: "no.1" } }),
    "another stream with it": new LeaseStream(client, { metadata: { token: "no.1" } }),
    "a user without access to the lease's key": new LeaseStream(client, { metadata: powerless }),
    "the user again": new LeaseStream(client, { metadata: good }),
  };
  const seen: Record<string, string> = {};
  const told = Object.entries(streams).map(async ([who, stream]) => (seen[who] = await shown(stream, id)));
  await Promise.all(told);
  seen["the user, once more"] = await shown(streams["a user"], id);
  for (const stream of Object.values(streams)) stream.cancel();
  return seen;
}

test("gateway and grpcProxy: streams of each user are answered, or end, as at etcd itself", async () => {
  const direct = await outcomes("direct");
  expect(direct["a user"]).toBe(`TTL ${TTL_SECONDS}`);
  expect(direct["the user, once more"]).toBe(`TTL ${TTL_SECONDS}`);
  expect(await outcomes("gateway")).toEqual(direct);
  expect(await outcomes("grpcProxy")).toEqual(direct);
});

/** Waits until the member does not know the token any more. */
async function expired(client: GrpcClient, { token }: Credentials): Promise<void> {
  await waitFor(
    "the token to expire",
    async () => {
      try {
        await client.unary(KV.method.range, { key: bytes("p/") }, { metadata: { token } });
        return false;
      } catch (error) {
        return error instanceof Error && error.message.includes("invalid auth token");
      }
    },
    { intervalMs: ASK_EVERY_MS },
  );
}

/** What two streams show whose token ends, and one beside them. */
async function afterTokenEnd(target: string): Promise<string[]> {
  const id = await grantWithKey(target);
  using client = new GrpcClient(addressOf[target]!);
  const accounts = new Accounts(client, true);
  const first = await accounts.logIn("first");
  const own = [1, 2].map(() => new LeaseStream(client, { metadata: { ...first } }));
  for (const stream of own) await stream.beat(id);
  if (TOKEN_FLAGS.length > 0) await expired(client, first);
  else await accounts.endTokens("first");
  using beside = new LeaseStream(client, { metadata: { ...(await accounts.logIn("second")) } });
  const seen = await Promise.all([...own, beside].map((stream) => shown(stream, id)));
  for (const stream of own) stream.cancel();
  return seen;
}

test("gateway and grpcProxy: a token that ends, ends the streams with it as at etcd itself, and no others", async () => {
  const direct = await afterTokenEnd("direct");
  expect(direct[2]).toBe(`TTL ${TTL_SECONDS}`);
  expect(await afterTokenEnd("gateway")).toEqual(direct);
  expect(await afterTokenEnd("grpcProxy")).toEqual(direct);
});
