/** Clients that say too little, or take too little, are cut when their limits are reached, and nobody else is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { methodPath } from "../../src/etcd/services.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import {
  concat,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADER_TABLE_SIZE,
  HEADERS,
  PREFACE,
  settings,
} from "../http2/frames.ts";
import { requestBlock } from "../http2/literal-block.ts";
import { BareClient } from "./bare-client.ts";
import { MIB } from "./memory.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  proxy = await startGrpcProxy(cluster.endpoints);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

async function readsStillWork(address: string): Promise<void> {
  using client = new GrpcClient(address);
  await client.unary(KV.method.range, { key: bytes("k") });
}

const prefaces: readonly (readonly [what: string, said: Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["half a preface", PREFACE.subarray(0, 10)],
  ["a preface and no SETTINGS", PREFACE],
  ["a preface and half of SETTINGS", concat([PREFACE, settings([HEADER_TABLE_SIZE, 0]).subarray(0, 12)])],
];
test("clients that say too little are cut when their ten seconds are over", async () => {
  const clients = await Promise.all(
    prefaces.map(async ([what, said]) => {
      const client = await BareClient.connect(proxy.address);
      if (said.length > 0) client.send(said);
      return [what, client] as const;
    }),
  );
  for (const [what, client] of clients) {
    await withDeadline(client.closed, () => `the proxy to cut a client that says ${what}`);
  }
  await readsStillWork(proxy.address);
}, 60_000);

const halves: readonly (readonly [what: string, said: Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["half a preface", PREFACE.subarray(0, 10)],
  ["a whole HTTP/2 greeting", concat([PREFACE, settings()])],
];
test.each(halves)("a client that closes its side after %s is cut at once", async (_what, said) => {
  using client = await BareClient.connect(proxy.address);
  if (said.length > 0) client.send(said);
  client.halfClose();
  await withDeadline(client.closed, () => "the proxy to close the connection", 5000);
});

test("a client that asks on and on and never reads is cut, with bounded memory", async () => {
  using client = await BareClient.connect(proxy.address);
  client.stopReading();
  // Without a header table every answer is sent in full; literals without indexing need none here either.
  client.send(concat([PREFACE, settings([HEADER_TABLE_SIZE, 0])]));
  const block = requestBlock(methodPath(KV.method.range));
  const before = proxy.rssBytes();
  let streamId = 1;
  const cut = (): boolean => proxy.log.some(({ reason }) => String(reason).includes("does not read"));
  await waitFor(
    "the proxy to cut the client",
    () => {
      if (cut()) return true;
      if (!client.sentAll) return undefined;
      // Calls without a request message: each is answered by a header section.
      const batch: Uint8Array[] = [];
      for (let i = 0; i < 5000; i++, streamId += 2) {
        batch.push(frame(HEADERS, END_HEADERS | END_STREAM, streamId, block));
      }
      client.send(concat(batch));
      return undefined;
    },
    { intervalMs: 1 },
  );
  expect(proxy.rssBytes() - before).toBeLessThan(64 * MIB);
  await readsStillWork(proxy.address);
}, 60_000);

describe("--max-connections", () => {
  test("resets the connection beyond it, and takes another once one has gone", async () => {
    await using bounded = await startGrpcProxy(cluster.endpoints, ["--max-connections=2"]);
    const hello = concat([PREFACE, settings()]);
    using first = await BareClient.connect(bounded.address);
    first.send(hello);
    {
      using second = await BareClient.connect(bounded.address);
      second.send(hello);
      using third = await BareClient.connect(bounded.address);
      await withDeadline(third.closed, () => "the third connection to be reset");
    }
    await waitFor("a connection to be taken again", () => readsStillWork(bounded.address).then(() => true));
  });
});
