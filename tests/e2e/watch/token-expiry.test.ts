/**
 * A token that runs out while its owner watches: etcd looks at it when a watch begins, and never again.
 *
 * A cluster of its own, whose tokens live for two seconds after their last use.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdVersion, isSince, testSince } from "../../harness/etcd-version.ts";
import { ensureBuilt, startGateway, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";
import { Accounts, type Credentials } from "./accounts.ts";
import { prefixRange, WatchStream } from "./watch-stream.ts";
import { Writer } from "./writer.ts";

setDefaultTimeout(60_000);

const TOKEN_FLAGS = ["--auth-token-ttl=2"];
/** Longer than a token lives unused, because asking for it is a use. */
const ASK_EVERY_MS = 4_000;
const BAD_TOKEN = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";

const since35 = isSince(etcdVersion(), [3, 5, 0]);
const stack = new AsyncDisposableStack();
let cluster: EtcdCluster;
const addressOf: Record<string, string> = {};

beforeAll(async () => {
  if (!since35) return;
  cluster = stack.use(await startEtcdCluster({ members: 1, flags: TOKEN_FLAGS }));
  await ensureBuilt();
  addressOf["direct"] = cluster.member(0).endpoint;
  addressOf["gateway"] = stack.use(await startGateway(cluster.endpoints)).address;
  addressOf["grpcProxy"] = stack.use(await startGrpcProxy(cluster.endpoints)).address;
  using client = new GrpcClient(cluster.member(0).endpoint);
  const accounts = new Accounts(client);
  await accounts.addRoot();
  await accounts.addRole("reader", [prefixRange("p/")]);
  for (const name of ["first", "second"]) {
    await accounts.addUser(name);
    await accounts.grantRole(name, "reader");
  }
  await accounts.enable();
}, 120_000);

afterAll(() => stack.disposeAsync(), 30_000);

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

for (const target of ["direct", "gateway", "grpcProxy"]) {
  testSince(
    "3.5",
    `${target}: a watch outlives its token, those beside it too, and new ones join`,
    async () => {
      using client = new GrpcClient(addressOf[target]!);
      const accounts = new Accounts(client, true);
      const range = prefixRange(`p/${target}/`);
      const first = await accounts.logIn("first");
      using early = new WatchStream(client, { metadata: { ...first } });
      await early.open(range);
      using beside = new WatchStream(client, { metadata: { ...(await accounts.logIn("second")) } });
      await beside.open(range);
      await expired(client, first);

      const writer = new Writer(client, { ...(await accounts.logIn("root")) });
      await writer.put(`${range.key}a`, "1");
      for (const stream of [early, beside])
        expect(await stream.events(0n, 1)).toEqual(writer.expected(range));
      early.create(range);
      expect((await early.nextCreated()).cancelReason).toBe(BAD_TOKEN);

      // One who needs more of a shared watch than it has.
      using late = new WatchStream(client, { metadata: { ...(await accounts.logIn("second")) } });
      const { header } = await late.open(range, { prevKv: true });
      const again = new Writer(client, { ...(await accounts.logIn("root")) });
      await again.put(`${range.key}b`, "1");
      await again.put(`${range.key}b`, "2");
      const all = [...writer.expected(range), ...again.expected(range)];
      for (const stream of [early, beside]) expect(await stream.events(0n, 3)).toEqual(all);
      const from = header!.revision + 1n;
      expect(await late.events(0n, 2)).toEqual(again.expected(range, { prevKv: true, from }));
      early.cancel(0n);
      await early.canceled(0n);
    },
  );
}
