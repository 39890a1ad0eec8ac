/**
 * What a member's answer to Maintenance.Status says about using it.
 *
 * Stands between the bytes or the status of that call and the checks of members. A member that refuses to answer for lack
 * of permission has answered; one that knows no leader, or is a learner, answers too, but serves no linearizable call.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { Maintenance, StatusResponseSchema } from "../gen/etcdserverpb/maintenance_pb.ts";
import { Code, codeName, type Status } from "../grpc/status.ts";
import { saysRefused } from "./auth-refusal.ts";
import { memberRefusalOf } from "./member-refusal.ts";

/** The path of the call. Its request has no fields. */
export const STATUS_PATH = `/${Maintenance.typeName}/${Maintenance.method.status.name}`;

/** Why the member whose answer is `message` should not be used while another can be; "" when it should. */
export function statusProblem(message: Uint8Array): string {
  try {
    const { leader, isLearner } = fromBinary(StatusResponseSchema, message);
    if (isLearner) return "is a learner";
    return leader === 0n ? "has no leader" : "";
  } catch {
    return "its status is malformed";
  }
}

/** The same for a member that ended the call with `status`, which is not OK. */
export function statusRefusal(status: Status): string {
  if (status.code === Code.PERMISSION_DENIED || status.code === Code.UNAUTHENTICATED) return "";
  if (saysRefused(status.message)) return "";
  return memberRefusalOf(status) ?? `its status is ${codeName(status.code)}: ${status.message}`;
}
