/**
 * Which fields of etcd's messages may be shown to those who read a log, and how much of them.
 *
 * What is not known to be harmless is not shown: bytes are keys only where they are named here, and a field that is
 * called like a secret is one, also in a message of a newer etcd.
 */
import type { DescField, DescMessage } from "@bufbuild/protobuf";

/**
 * `plain`: as it is; `value`: only for who has asked for values; `length`: never more than how long it is; `secret`: not
 * even that.
 */
export type Showing = "plain" | "value" | "length" | "secret";

const KEYS = new Set([
  "authpb.Permission.key",
  "authpb.Permission.range_end",
  "etcdserverpb.AuthRoleRevokePermissionRequest.key",
  "etcdserverpb.AuthRoleRevokePermissionRequest.range_end",
  "etcdserverpb.Compare.key",
  "etcdserverpb.Compare.range_end",
  "etcdserverpb.DeleteRangeRequest.key",
  "etcdserverpb.DeleteRangeRequest.range_end",
  "etcdserverpb.LeaseTimeToLiveResponse.keys",
  "etcdserverpb.PutRequest.key",
  "etcdserverpb.RangeRequest.key",
  "etcdserverpb.RangeRequest.range_end",
  "etcdserverpb.WatchCreateRequest.key",
  "etcdserverpb.WatchCreateRequest.range_end",
  "mvccpb.KeyValue.key",
  "v3electionpb.CampaignRequest.name",
  "v3electionpb.LeaderKey.key",
  "v3electionpb.LeaderKey.name",
  "v3electionpb.LeaderRequest.name",
  "v3lockpb.LockRequest.name",
  "v3lockpb.LockResponse.key",
  "v3lockpb.UnlockRequest.key",
]);

const VALUES = new Set([
  "etcdserverpb.Compare.value",
  "etcdserverpb.PutRequest.value",
  "mvccpb.KeyValue.value",
  "v3electionpb.CampaignRequest.value",
  "v3electionpb.ProclaimRequest.value",
]);

const SECRET = /password|passphrase|token|secret|credential/i;

const showings = new Map<DescField, Showing>();

/** How much of a field is shown; `bytes`: it is of protobuf's type bytes. */
export function showingOf(field: DescField, bytes: boolean): Showing {
  let showing = showings.get(field);
  if (showing === undefined) {
    showing = decide(field, bytes);
    showings.set(field, showing);
  }
  return showing;
}

function decide(field: DescField, bytes: boolean): Showing {
  const name = `${field.parent.typeName}.${field.name}`;
  if (SECRET.test(field.name)) return "secret";
  if (!bytes || KEYS.has(name)) return "plain";
  return VALUES.has(name) ? "value" : "length";
}

/** Whether a message of `type` holds a secret: then its length would tell the secret's. */
export function holdsSecret(type: DescMessage): boolean {
  return type.fields.some(({ name }) => SECRET.test(name));
}
