/**
 * Which calls may be sent again when the connection was lost before their answer: those that change nothing
 * (architecture §4, "Endpoints and retries").
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../gen/etcdserverpb/maintenance_pb.ts";
import { methodPath } from "./services.ts";
import { keysChangedByTxn } from "./txn-request.ts";

/** Methods that read, whatever is asked. */
export const READ_METHODS: ReadonlySet<DescMethod> = new Set<DescMethod>([
  KV.method.range,
  KV.method.rangeStream,
  Lease.method.leaseTimeToLive,
  Lease.method.leaseLeases,
  Cluster.method.memberList,
  Maintenance.method.status,
  Maintenance.method.hashKV,
]);

const READ_PATHS = new Set([...READ_METHODS].map(methodPath));

const TXN_PATH = methodPath(KV.method.txn);

/**
 * True when a call of `path` with the message `message` changes nothing. A message that cannot be read, or in which there
 * is what nobody here knows, is no read.
 */
export function isRepeatableRead(path: string, message: Uint8Array): boolean {
  if (path !== TXN_PATH) return READ_PATHS.has(path);
  try {
    return keysChangedByTxn(message, 0, message.length)?.length === 0;
  } catch {
    return false;
  }
}
