/**
 * Which calls may be sent again when the connection was lost before their answer: those that change nothing
 * (architecture §4, "Endpoints and retries").
 */
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { KV, type RequestOp, TxnRequestSchema } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../gen/etcdserverpb/maintenance_pb.ts";
import { methodPath } from "./services.ts";

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

/** True when a call of `path` with the message `message` changes nothing. Undecodable messages are not reads. */
export function isRepeatableRead(path: string, message: Uint8Array): boolean {
  if (path !== TXN_PATH) return READ_PATHS.has(path);
  try {
    const txn = fromBinary(TxnRequestSchema, message);
    return txn.success.every(readsOnly) && txn.failure.every(readsOnly);
  } catch {
    return false;
  }
}

function readsOnly({ request }: RequestOp): boolean {
  switch (request.case) {
    case "requestRange":
      return true;
    case "requestTxn":
      return request.value.success.every(readsOnly) && request.value.failure.every(readsOnly);
    default:
      return false;
  }
}
