/**
 * Each method of the API is called on the cluster itself and through a grpc-proxy with a namespace, with the same inputs:
 * to a client the namespace is a cluster of its own, answers, errors and all.
 *
 * The cases are those of `every-method.test.ts`. What they prepare and clean up goes through a proxy with the namespace as
 * well, since it is about keys that the case knows.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient, methodPath } from "../../harness/grpc-client.ts";
import { authCases } from "../methods/auth-cases.ts";
import { coordinationCases } from "../methods/coordination-cases.ts";
import { kvCases } from "../methods/kv-cases.ts";
import { leaseCases } from "../methods/lease-cases.ts";
import { bytes, Side } from "../methods/side.ts";
import { watchCases } from "../methods/watch-cases.ts";
import { useTargets } from "../targets.ts";

/** Cases that cannot be equal, and why. */
const UNEQUAL: ReadonlyMap<string, string> = new Map([
  [
    "RangeStream streams a range, or is not implemented by this etcd",
    "a request without a key is refused before a member says that it has no such method",
  ],
  [
    "auth that is on gives tokens, and answers each caller by its own",
    "roles name keys as members know them: they are the cluster's",
  ],
]);

const cases = [...kvCases, ...watchCases, ...leaseCases, ...coordinationCases, ...authCases].filter(
  ({ name }) => !UNEQUAL.has(name),
);

const PREFIX = "tenant/";
/** Watches, reads and heartbeats that are shared, and each forwarded as it is: keys are mapped on both ways. */
const ways = [
  ["shared", []],
  [
    "forwarded",
    ["--watch-coalescing=false", "--read-coalescing=false", "--cache=false", "--lease-coalescing=false"],
  ],
] as const;

const targets = useTargets({ members: 1 });
let direct: GrpcClient;
const proxies: EtcdproxyProcess[] = [];
const clients: GrpcClient[] = [];

beforeAll(async () => {
  direct = new GrpcClient(targets.cluster.member(0).endpoint);
  for (const [, flags] of ways) {
    const proxy = await startGrpcProxy(
      [targets.cluster.member(0).endpoint],
      [`--namespace=${PREFIX}`, "--advertise-client-url=", ...flags],
    );
    proxies.push(proxy);
    clients.push(new GrpcClient(proxy.address));
  }
}, 60_000);

afterAll(async () => {
  direct.close();
  for (const client of clients) client.close();
  for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
});

/** Keys that begin with `prefix`, all of them for "". */
async function keysAt(prefix: string): Promise<string[]> {
  const key = bytes(prefix === "" ? "\0" : prefix);
  const rangeEnd = bytes(
    prefix === ""
      ? "\0"
      : `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`,
  );
  const { kvs } = await direct.unary(KV.method.range, { key, rangeEnd, keysOnly: true });
  return kvs.map((kv) => Buffer.from(kv.key).toString("latin1"));
}

describe.each(ways)("through a namespace as directly, %s:", (...[way]) => {
  const which = ways.findIndex(([name]) => name === way);

  for (const { name, covers, run } of cases) {
    test(name, async () => {
      const client = clients[which]!;
      const directly = await Side.open(direct, direct);
      await run(directly);
      const throughNamespace = await Side.open(client, client);
      await run(throughNamespace);
      expect(throughNamespace.transcript.said).toEqual(directly.transcript.said);
      expect([...directly.transcript.called]).toEqual(expect.arrayContaining(covers.map(methodPath)));
    });
  }

  test("nothing was written outside of the namespace", async () => {
    const outside = (await keysAt("")).filter((key) => !key.startsWith(PREFIX));
    await clients[which]!.unary(KV.method.put, { key: bytes("probe"), value: bytes("1") });
    await clients[which]!.unary(KV.method.deleteRange, { key: bytes("\0"), rangeEnd: bytes("\0") });
    expect(await keysAt(PREFIX)).toEqual([]);
    expect((await keysAt("")).filter((key) => !key.startsWith(PREFIX))).toEqual(outside);
  });
});
