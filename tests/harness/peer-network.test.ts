/** Clusters whose members reach each other through relays. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "./etcd-cluster.ts";
import { GrpcClient, statusOf } from "./grpc-client.ts";
import { waitFor } from "./wait-for.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3, relayedPeers: true });
});
afterAll(() => cluster.dispose());

test("an isolated leader serves clients what it has and can write nothing, and the others elect a new one", async () => {
  const isolated = await cluster.leader();
  await cluster.isolate(isolated);
  using client = new GrpcClient(isolated.endpoint);
  const write = client.unary(KV.method.put, { key: bytes("lost") }, { timeoutMs: 500 });
  // When the time is up, the client says so itself, or the member is first: it blames its connections (UNAVAILABLE).
  expect([4, 14]).toContain((await statusOf(write)).code);
  await client.unary(KV.method.range, { key: bytes("lost"), serializable: true });

  const others = cluster.members.filter((member) => member !== isolated);
  await waitFor("another leader", async () => {
    const { memberId, leaderId } = await others[0]!.status();
    return leaderId !== "0" && leaderId !== (await isolated.status()).memberId && memberId !== "0";
  });
  using other = new GrpcClient(others[0]!.endpoint);
  await other.unary(KV.method.put, { key: bytes("kept"), value: bytes("yes") });

  cluster.rejoin(isolated);
  await isolated.waitHealthy();
  const { kvs } = await client.unary(KV.method.range, { key: bytes("kept") });
  expect(kvs.length).toBe(1);
  const { kvs: lost } = await client.unary(KV.method.range, { key: bytes("lost") });
  expect(lost.length).toBe(0);
});
