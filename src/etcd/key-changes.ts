/**
 * What a call may do to keys, by its method: what decides which cached reads it makes old.
 *
 * Only methods that are known to leave the keys, and who may read them, alone count as harmless. Whatever else there is, in a
 * newer etcd too, counts as changing anything.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { Auth } from "../gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../gen/etcdserverpb/maintenance_pb.ts";
import { Watch } from "../gen/etcdserverpb/watch_pb.ts";
import { Election } from "../gen/v3electionpb/election_pb.ts";

/**
 * `none`: keys stay as they are. `put`, `delete range`, `txn`: what the request names. `compact`: old revisions go.
 * `shown`: the call changes nothing, but shows its client what others have changed.
 * `anything`: any key may change, or who may read it.
 */
export type KeyEffect = "none" | "put" | "delete range" | "txn" | "compact" | "shown" | "anything";

const EFFECTS: ReadonlyMap<DescMethod, KeyEffect> = new Map<DescMethod, KeyEffect>([
  [KV.method.put, "put"],
  [KV.method.deleteRange, "delete range"],
  [KV.method.txn, "txn"],
  [KV.method.compact, "compact"],
  [Watch.method.watch, "shown"],
  [Election.method.observe, "shown"],
  ...[
    KV.method.range,
    KV.method.rangeStream,
    Lease.method.leaseGrant,
    Lease.method.leaseKeepAlive,
    Lease.method.leaseTimeToLive,
    Lease.method.leaseLeases,
    ...Cluster.methods,
    ...Maintenance.methods,
    Auth.method.authenticate,
    Auth.method.authStatus,
    Auth.method.userGet,
    Auth.method.userList,
    Auth.method.roleGet,
    Auth.method.roleList,
    Election.method.leader,
  ].map((method) => [method, "none"] as const),
]);

export function keyEffectOf(method: DescMethod): KeyEffect {
  return EFFECTS.get(method) ?? "anything";
}
