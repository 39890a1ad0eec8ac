/** Which member leads, decided by a test: a leader that is lost while it hands over would be a second fault. */
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import type { EtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";

/** Makes `member` the leader, and waits until all know. */
export async function moveLeaderTo(cluster: EtcdCluster, member: EtcdMember): Promise<void> {
  const leader = await cluster.leader();
  if (leader === member) return;
  using client = new GrpcClient(leader.endpoint);
  const { members } = await client.unary(Cluster.method.memberList, {});
  const { ID } = members.find(({ name }) => name === member.name)!;
  await client.unary(Maintenance.method.moveLeader, { targetID: ID });
  await waitFor("the new leader", async () => (await cluster.leader()) === member);
}
