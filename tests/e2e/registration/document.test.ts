/** The two transcripts of etcd's documentation about member lists of proxies, with a real etcdctl. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import {
  freeAddresses,
  memberTable,
  PREFIX,
  Registry,
  rowOf,
  startRegistering,
  valueOf,
  waitListed,
} from "./scene.ts";

setDefaultTimeout(60_000);

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

test("proxies that register under one prefix are all listed, by each of them", async () => {
  const [first, second] = freeAddresses(2) as [string, string];
  await using one = await startRegistering(cluster.endpoints, first);
  await using other = await startRegistering(cluster.endpoints, second);
  for (const { address } of [one, other]) {
    const url = `http://${address.replace("127.0.0.1", "localhost")}`;
    await waitListed(url, [first, second]);
    expect(await memberTable(url)).toEqual([rowOf(first), rowOf(second)]);
  }
  const registry = new Registry(cluster);
  expect(await registry.keys()).toEqual({
    [`${PREFIX}/${first}`]: valueOf(first),
    [`${PREFIX}/${second}`]: valueOf(second),
  });
  expect(await registry.leases()).toHaveLength(2);
  expect([await one.stop(), await other.stop()]).toEqual([0, 0]);
  expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
});

test("a proxy without a prefix lists itself, and registers nothing", async () => {
  const [address] = freeAddresses(1) as [string];
  await using proxy = await startRegistering(cluster.endpoints, address, [
    `--advertise-client-url=${address}`,
  ]);
  expect(await memberTable(`http://${address}`)).toEqual([rowOf(address)]);
  expect(await proxy.stop()).toBe(0);
  expect(await new Registry(cluster).keys()).toEqual({});
});

test("with an empty address MemberList is the cluster's own", async () => {
  const [address] = freeAddresses(1) as [string];
  await using proxy = await startRegistering(cluster.endpoints, address, ["--advertise-client-url="]);
  using through = new GrpcClient(proxy.address);
  using direct = new GrpcClient(cluster.endpoints[0]!);
  const { members } = await through.unary(Cluster.method.memberList, {});
  expect(members).toEqual((await direct.unary(Cluster.method.memberList, {})).members);
  expect(members[0]!.peerURLs).toHaveLength(1);
});

test("whatever else is asked of the cluster goes to it from a registered proxy as well", async () => {
  const [address] = freeAddresses(1) as [string];
  await using proxy = await startRegistering(cluster.endpoints, address);
  using through = new GrpcClient(proxy.address);
  using direct = new GrpcClient(cluster.endpoints[0]!);
  const { memberAdd, memberPromote } = Cluster.method;
  // What etcd refuses before it asks the other members.
  const refusals = async (client: GrpcClient): Promise<string[]> => [
    (await statusOf(client.unary(memberAdd, { peerURLs: ["no url"] }))).message,
    (await statusOf(client.unary(memberPromote, { ID: 404n }))).message,
  ];
  const refused = await refusals(through);
  expect(refused).toEqual(await refusals(direct));
  for (const message of refused) expect(message).toContain("etcdserver: ");
});
