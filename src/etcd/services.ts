/**
 * etcd's API as a method table, read off the generated descriptors: the one place that knows which services
 * there are.
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Auth } from "../gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../gen/etcdserverpb/maintenance_pb.ts";
import { Watch } from "../gen/etcdserverpb/watch_pb.ts";
import { Election } from "../gen/v3electionpb/election_pb.ts";
import { Lock } from "../gen/v3lockpb/lock_pb.ts";

export const SERVICES: readonly DescService[] = [
  KV,
  Watch,
  Lease,
  Cluster,
  Auth,
  Maintenance,
  Lock,
  Election,
];

/** A method's full path, `/package.Service/Method`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
