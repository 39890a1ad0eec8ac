/** Maintenance's methods, on the one member that both sides talk to. */
import { createHash } from "node:crypto";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  DowngradeRequest_DowngradeAction,
  Maintenance,
} from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

/** Bytes of a bbolt database's page: it starts with its two meta pages, whose magic number is at this offset. */
const BOLT_MAGIC_OFFSET = 16;
const BOLT_MAGIC = 0xed0cdaed;
const SHA256_BYTES = 32;

interface Follower {
  readonly id: bigint;
  readonly address: string;
}

/** A member that does not lead, while the one that both sides talk to does. */
async function aFollower(side: Side): Promise<Follower> {
  const { leader } = await side.backstage.unary(Maintenance.method.status, {});
  const { members } = await side.backstage.unary(Cluster.method.memberList, {});
  const member = members.find(({ ID }) => ID !== leader)!;
  return { id: member.ID, address: new URL(member.clientURLs[0]!).host };
}

export const maintenanceCases: readonly MethodCase[] = [
  {
    name: "Status tells the member's version and its leader",
    covers: [Maintenance.method.status],
    async run(side) {
      await side.unary(Maintenance.method.status, {});
    },
  },
  {
    name: "Alarm raises, lists and disarms an alarm, and puts fail in between",
    covers: [Maintenance.method.alarm],
    async run(side) {
      const { header } = await side.backstage.unary(Maintenance.method.status, {});
      const alarm = { memberID: header!.memberId, alarm: AlarmType.NOSPACE };
      await side.unary(Maintenance.method.alarm, { action: AlarmRequest_AlarmAction.ACTIVATE, ...alarm });
      await side.unary(Maintenance.method.alarm, { action: AlarmRequest_AlarmAction.GET });
      await side.unary(KV.method.put, { key: bytes("alarm/put") });
      await side.unary(Maintenance.method.status, {});
      await side.unary(Maintenance.method.alarm, { action: AlarmRequest_AlarmAction.DEACTIVATE, ...alarm });
      await side.unary(Maintenance.method.alarm, { action: AlarmRequest_AlarmAction.GET });
    },
  },
  {
    name: "Defragment defragments",
    covers: [Maintenance.method.defragment],
    async run(side) {
      await side.unary(Maintenance.method.defragment, {});
    },
  },
  {
    name: "Hash and HashKV give hashes, HashKV not one of the future",
    covers: [Maintenance.method.hash, Maintenance.method.hashKV],
    async run(side) {
      await side.unary(Maintenance.method.hash, {});
      await side.unary(Maintenance.method.hashKV, {});
      await side.unary(Maintenance.method.hashKV, { revision: side.base });
      await side.unary(Maintenance.method.hashKV, { revision: side.base + 1_000_000n });
    },
  },
  {
    name: "Snapshot streams a whole database, whose checksum holds",
    covers: [Maintenance.method.snapshot],
    async run(side) {
      const { conversation } = side.serverStream(Maintenance.method.snapshot, {});
      const blobs: Uint8Array[] = [];
      let remainingBytes = -1n;
      for (;;) {
        const piece = await conversation.nextOrEnd();
        if (piece === undefined) break;
        blobs.push(piece.blob);
        remainingBytes = piece.remainingBytes;
      }
      const database = Buffer.concat(blobs);
      const contents = database.subarray(0, -SHA256_BYTES);
      const checksum = createHash("sha256").update(contents).digest();
      side.transcript.note("Snapshot", {
        remainingBytes: String(remainingBytes),
        startsAsDatabase: database.readUInt32LE(BOLT_MAGIC_OFFSET) === BOLT_MAGIC,
        checksumHolds: checksum.equals(database.subarray(-SHA256_BYTES)),
      });
      side.transcript.status("Snapshot", await conversation.status);
    },
  },
  {
    name: "MoveLeader hands leadership over, and only the leader can",
    covers: [Maintenance.method.moveLeader],
    async run(side) {
      const before = await side.backstage.unary(Maintenance.method.status, {});
      const follower = await aFollower(side);
      await side.unary(Maintenance.method.moveLeader, { targetID: 404n });
      await side.unary(Maintenance.method.moveLeader, { targetID: follower.id });
      await side.unary(Maintenance.method.moveLeader, { targetID: follower.id });
      using client = new GrpcClient(follower.address);
      await client.unary(Maintenance.method.moveLeader, { targetID: before.leader });
      await waitFor("leadership to be back", async () => {
        const { leader } = await side.backstage.unary(Maintenance.method.status, {});
        return leader === before.leader;
      });
    },
  },
  {
    name: "Downgrade validates a version, or is not implemented by this etcd",
    covers: [Maintenance.method.downgrade],
    async run(side) {
      const action = DowngradeRequest_DowngradeAction.VALIDATE;
      await side.unary(Maintenance.method.downgrade, { action, version: "not a version" });
      await side.unary(Maintenance.method.downgrade, { action, version: "3.0.0" });
      await side.unary(Maintenance.method.downgrade, { action: DowngradeRequest_DowngradeAction.CANCEL });
    },
  },
];
