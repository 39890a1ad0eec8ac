/**
 * Ranges at the edges of what a role allows: read, read serializably and watched by each user, on all targets. While
 * root watches all keys, so that the proxy could show anything to anybody.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { bytes } from "../methods/side.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { type WatchedRange, WatchStream } from "../watch/watch-stream.ts";
import { addPeople, administer, CHEAP_PASSWORDS, tokenOf } from "./people.ts";
import { outcomeOf, sameOutcomes } from "./same-outcomes.ts";

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);
const stack = new DisposableStack();

const DENIED = "7 etcdserver: permission denied";
const WATCH_DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

const member = (): string => targets.cluster.member(0).endpoint;

beforeAll(async () => {
  await addPeople(member());
  await administer(member(), async (accounts) => {
    // What touches is one to etcd.
    await accounts.addRole("pieces", [
      { key: "r/a", rangeEnd: "r/b" },
      { key: "r/b", rangeEnd: "r/c" },
      { key: "r/e", rangeEnd: "r/f" },
      { key: "r/x" },
    ]);
    await accounts.addUser("pieces");
    await accounts.grantRole("pieces", "pieces");
    await accounts.addRole("everything", [{ key: "\0", rangeEnd: "\0" }]);
    await accounts.addUser("everything");
    await accounts.grantRole("everything", "everything");
  });
  const metadata = { ...(await tokenOf(member(), "root")) };
  for (const name of ["gateway", "grpcProxy"] as const) {
    const client = stack.use(new GrpcClient(targets.target(name).address));
    const everything = stack.use(new WatchStream(client, { metadata }));
    await everything.open({ key: "\0", rangeEnd: "\0" });
  }
}, 60_000);

afterAll(() => stack.dispose());

const RANGES: readonly WatchedRange[] = [
  { key: "p/" },
  { key: "p/", rangeEnd: "p0" },
  { key: "p/", rangeEnd: "p0\0" },
  { key: "p/", rangeEnd: "p1" },
  { key: "p/a", rangeEnd: "p/b" },
  { key: "p/one" },
  { key: "p/one", rangeEnd: "p/one\0" },
  { key: "p/one", rangeEnd: "p/one\0\0" },
  { key: "p/on", rangeEnd: "p/one" },
  { key: "p/one", rangeEnd: "\0" },
  { key: "p/", rangeEnd: "\0" },
  { key: "p", rangeEnd: "\0" },
  { key: "p0" },
  { key: "p", rangeEnd: "p/" },
  { key: "p.", rangeEnd: "p0" },
  { key: "q/", rangeEnd: "q0" },
  { key: "r/a", rangeEnd: "r/c" },
  { key: "r/a", rangeEnd: "r/d" },
  { key: "r/b", rangeEnd: "r/f" },
  { key: "r/e", rangeEnd: "r/f" },
  { key: "r/x", rangeEnd: "r/y" },
  { key: "\0" },
  { key: "\0", rangeEnd: "\0" },
  { key: "", rangeEnd: "p" },
  { key: "p/z", rangeEnd: "p/a" },
  { key: "q/z", rangeEnd: "q/a" },
];

/** What a user is told of each range, by what is asked. */
async function told(target: Target, user: string): Promise<Record<string, readonly string[]>> {
  using client = new GrpcClient(target.address);
  const metadata = { ...(await tokenOf(member(), user)) };
  using stream = new WatchStream(client, { metadata });
  const outcomes: Record<string, readonly string[]> = {};
  for (const range of RANGES) {
    const request = { key: bytes(range.key), rangeEnd: bytes(range.rangeEnd ?? ""), countOnly: true };
    const read = (serializable: boolean): Promise<string> =>
      outcomeOf(client.unary(KV.method.range, { ...request, serializable }, { metadata }));
    stream.create(range);
    const { canceled, cancelReason } = await stream.nextCreated();
    const reads = [await read(false), await read(true), await read(true)];
    // Before 3.7 etcd looks at the first key only (GHSA-xg4h-6gfc-h4m8), which is no example: see below.
    const beyond = range.rangeEnd === "\0" && reads.includes(DENIED);
    outcomes[JSON.stringify(range)] = [...reads, beyond ? "" : canceled ? cancelReason : "OK"];
  }
  return outcomes;
}

const MAY = ["OK", "OK", "OK", "OK"];
const MAY_NOT = [DENIED, DENIED, DENIED, WATCH_DENIED];

for (const [user, may, mayNot] of [
  ["reader", { key: "p/", rangeEnd: "p0" }, { key: "p/", rangeEnd: "p1" }],
  ["keyholder", { key: "p/one", rangeEnd: "p/one\0" }, { key: "p/one", rangeEnd: "p/one\0\0" }],
  ["rest", { key: "p/", rangeEnd: "\0" }, { key: "p", rangeEnd: "p/" }],
  ["pieces", { key: "r/a", rangeEnd: "r/c" }, { key: "r/b", rangeEnd: "r/f" }],
  ["powerless", undefined, { key: "p/one" }],
  ["everything", { key: "\0", rangeEnd: "\0" }, undefined],
  ["root", { key: "\0", rangeEnd: "\0" }, undefined],
] as const) {
  sameOutcomes(
    eachTarget,
    `${user} reads and watches what the role allows, to the byte`,
    (target) => told(target, user),
    (outcomes) => {
      if (may !== undefined) expect(outcomes[JSON.stringify(may)]).toEqual(MAY);
      if (mayNot !== undefined) expect(outcomes[JSON.stringify(mayNot)]).toEqual(MAY_NOT);
    },
  );
}

test("grpcProxy: from a key that may be read on to the end is watched by who may read all of it, whatever etcd says", async () => {
  using client = new GrpcClient(targets.grpcProxy.address);
  for (const [user, key] of [
    ["reader", "p/"],
    ["keyholder", "p/one"],
    ["rest", "p"],
    ["powerless", "p/"],
  ] as const) {
    using stream = new WatchStream(client, { metadata: { ...(await tokenOf(member(), user)) } });
    stream.create({ key, rangeEnd: "\0" });
    const { canceled, cancelReason } = await stream.nextCreated();
    expect({ user, canceled, cancelReason }).toEqual({ user, canceled: true, cancelReason: WATCH_DENIED });
  }
  using stream = new WatchStream(client, { metadata: { ...(await tokenOf(member(), "rest")) } });
  await stream.open({ key: "p/", rangeEnd: "\0" });
});
