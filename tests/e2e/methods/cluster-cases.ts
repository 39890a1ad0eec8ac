/**
 * Cluster's methods, played with a learner that never starts: the cluster keeps its quorum. MemberList is
 * compared through a proxy that passes it on; the one that answers it itself has a test of its own.
 */
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { AlarmRequest_AlarmAction, Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { waitFor } from "../../harness/wait-for.ts";
import type { MethodCase, Side } from "./side.ts";

const PEER_URL = "http://127.0.0.1:1";
const OTHER_PEER_URL = "http://127.0.0.1:2";

/**
 * Waits until raft is done with the last change of the members, by one more turn of raft's: a change proposed before
 * that is dropped by raft without a word, and its call is answered only when its deadline passes.
 */
async function settled(side: Side): Promise<void> {
  await side.backstage.unary(Maintenance.method.alarm, { action: AlarmRequest_AlarmAction.GET });
}

/** Adds a learner, as soon as the members have been connected for as long as etcd wants. */
async function learnerAdded(side: Side): Promise<bigint> {
  const answer = await waitFor("a member to be added", () =>
    side.backstage.unary(Cluster.method.memberAdd, { peerURLs: [PEER_URL], isLearner: true }),
  );
  await settled(side);
  return answer.member!.ID;
}

/**
 * Removes the learner, and waits for the next second: a member's id is made from its URLs and the second in
 * which it is added, and one that was removed is never taken again.
 */
async function removed(side: Side, id: bigint): Promise<void> {
  await side.backstage.unary(Cluster.method.memberRemove, { ID: id });
  await settled(side);
  const second = Math.floor(Date.now() / 1000);
  await waitFor("the next second", () => Math.floor(Date.now() / 1000) > second);
}

export const clusterCases: readonly MethodCase[] = [
  {
    name: "MemberAdd adds a learner, and refuses what cannot be added",
    covers: [Cluster.method.memberAdd],
    async run(side) {
      await removed(side, await learnerAdded(side)); // From here on the cluster takes members.
      const added = await side.unary(Cluster.method.memberAdd, { peerURLs: [PEER_URL], isLearner: true });
      await settled(side);
      await side.unary(Cluster.method.memberAdd, { peerURLs: [PEER_URL] });
      await settled(side);
      await side.unary(Cluster.method.memberAdd, { peerURLs: ["no url"] });
      await settled(side);
      await removed(side, added!.member!.ID);
    },
  },
  {
    name: "MemberUpdate changes a member's peer URLs",
    covers: [Cluster.method.memberUpdate],
    async run(side) {
      const ID = await learnerAdded(side);
      await side.unary(Cluster.method.memberUpdate, { ID, peerURLs: [OTHER_PEER_URL] });
      await settled(side);
      await side.unary(Cluster.method.memberUpdate, { ID: 404n, peerURLs: [OTHER_PEER_URL] });
      await settled(side);
      await removed(side, ID);
    },
  },
  {
    name: "MemberPromote refuses a learner that has not caught up, and a member that is not there",
    covers: [Cluster.method.memberPromote],
    async run(side) {
      const ID = await learnerAdded(side);
      await side.unary(Cluster.method.memberPromote, { ID });
      await settled(side);
      await side.unary(Cluster.method.memberPromote, { ID: 404n });
      await settled(side);
      await removed(side, ID);
    },
  },
  {
    name: "MemberRemove removes a member, once",
    covers: [Cluster.method.memberRemove],
    async run(side) {
      const ID = await learnerAdded(side);
      await side.unary(Cluster.method.memberRemove, { ID });
      await settled(side);
      await side.unary(Cluster.method.memberRemove, { ID });
      await settled(side);
      await side.unary(Cluster.method.memberRemove, { ID: 404n });
      await settled(side);
    },
  },
  {
    name: "MemberList lists the members",
    covers: [Cluster.method.memberList],
    async run(side) {
      await side.unary(Cluster.method.memberList, {});
      await side.unary(Cluster.method.memberList, { linearizable: true });
    },
  },
];
