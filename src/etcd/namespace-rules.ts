/**
 * Which calls a proxy with a namespace takes, by their method.
 *
 * Methods that name or tell keys are mapped. Those that act on the whole cluster, or tell of it, mean the same as without a
 * namespace; an operator can have them refused (strict). A method that is not known here is always refused: it may name
 * keys anywhere.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { Auth } from "../gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../gen/etcdserverpb/maintenance_pb.ts";
import { MESSAGE_PREFIX_BYTES } from "../grpc/message-scanner.ts";
import { Code, type Status } from "../grpc/status.ts";
import { methodKeysOf } from "./key-fields.ts";
import { type Namespace, RequestOutsideNamespace } from "./namespace.ts";
import { ProtobufCursor } from "./protobuf-cursor.ts";
import { methodPath, SERVICES } from "./services.ts";

/**
 * What clients need to find members, to say who they are, and to find out how the cluster is. Alarms may be asked for, as
 * etcdctl's `endpoint health` does; raising and clearing them is refused call by call.
 */
const HARMLESS: ReadonlySet<DescMethod> = new Set<DescMethod>([
  Cluster.method.memberList,
  Maintenance.method.status,
  Maintenance.method.alarm,
  Auth.method.authenticate,
  Auth.method.authStatus,
]);

/** Methods that change, read or name what lies outside of any namespace. */
export const WHOLE_CLUSTER_METHODS: ReadonlySet<DescMethod> = new Set<DescMethod>(
  [
    KV.method.compact,
    Lease.method.leaseLeases,
    ...Cluster.methods,
    ...Maintenance.methods,
    ...Auth.methods,
  ].filter((method) => !HARMLESS.has(method)),
);

/**
 * The answer to a call of `method` (undefined: one that is not known) that is not taken; null for one that is.
 * `strict`: calls that act on the whole cluster are not.
 */
export function namespaceRefusal(method: DescMethod | undefined, strict: boolean): Status | null {
  if (method === undefined) return UNKNOWN_METHOD;
  if (!strict || !WHOLE_CLUSTER_METHODS.has(method)) return null;
  return keptFromClients(method);
}

function keptFromClients(method: DescMethod): Status {
  return {
    code: Code.PERMISSION_DENIED,
    message: `etcdproxy: ${method.name} acts on the whole cluster, which --namespace-strict keeps from clients`,
  };
}

/**
 * Makes of the message `bytes[start, end)` what the other side is shown, as a gRPC message with its length before it.
 * @throws MalformedMessage, RequestOutsideNamespace
 */
export type MapMessage = (bytes: Uint8Array, start: number, end: number) => Uint8Array;

/** How messages of a method are mapped; null: they pass as they are. */
export interface MethodMapping {
  readonly toMember: MapMessage | null;
  readonly toClient: MapMessage | null;
}

/** How the methods are mapped whose messages do not pass as they are, by path. */
export function namespaceMappings(namespace: Namespace, strict: boolean): ReadonlyMap<string, MethodMapping> {
  const mappings = new Map<string, MethodMapping>();
  for (const method of SERVICES.flatMap((service) => service.methods)) {
    const { request, answer } = methodKeysOf(method);
    if (request === null && answer === null) continue;
    mappings.set(methodPath(method), {
      toMember: request && ((bytes, start, end) => namespace.toMember(request, bytes, start, end)),
      toClient: answer && ((bytes, start, end) => namespace.toClient(answer, bytes, start, end)),
    });
  }
  if (strict)
    mappings.set(methodPath(Maintenance.method.alarm), { toMember: questionAboutAlarms, toClient: null });
  return mappings;
}

const ALARM_ACTION = 0x08;
const ACTION_GET = 0;

/** An AlarmRequest that asks for alarms, as it is. */
function questionAboutAlarms(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const cursor = new ProtobufCursor();
  cursor.at = start;
  let action = ACTION_GET;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    if (tag === ALARM_ACTION) action = cursor.int32(bytes, end);
    else cursor.skip(bytes, tag, end);
  }
  if (action !== ACTION_GET) throw new RequestOutsideNamespace(keptFromClients(Maintenance.method.alarm));
  const framed = new Uint8Array(MESSAGE_PREFIX_BYTES + end - start);
  new DataView(framed.buffer).setUint32(1, end - start);
  framed.set(bytes.subarray(start, end), MESSAGE_PREFIX_BYTES);
  return framed;
}

const UNKNOWN_METHOD: Status = {
  code: Code.UNIMPLEMENTED,
  message: "etcdproxy: the method is not known here, and may use keys outside of --namespace",
};
