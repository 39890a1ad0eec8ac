/**
 * Where keys stand in etcd's messages: what the mapping of a namespace is made from.
 *
 * The fields are named here once; which messages lie in which, and under what numbers, is read off the generated
 * descriptors. A test goes through all messages, so that no field of bytes is overlooked.
 */
import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";

/**
 * What a field holds. `key`: a key, which a request has to name. `watch key`: the same, where an empty one means the
 * smallest. `name`: the beginning of keys, which may be empty. `listed key`: one of several, wherever they lie.
 */
export type KeyRole = "key" | "watch key" | "range end" | "name" | "listed key";

/** The fields of a message by their numbers. */
export interface MessageKeys {
  /** Null: a field without keys; absent: one that is not known. */
  readonly fields: readonly (KeyRole | MessageKeys | null | undefined)[];
  /** The message's name, for errors. */
  readonly name: string;
  /** A field that is not known may well hold keys: one operation more, one kind of request more. */
  readonly closed: boolean;
  /** A key that a request has to name is the field of this number; 0 for none. */
  readonly required: number;
  /** The field of this number counts as empty when it is absent: a name, or the key of a watch; 0 for none. */
  readonly supplied: number;
}

/** The keys in what a method is asked, and in what it answers; null where there are none. */
export interface MethodKeys {
  readonly request: MessageKeys | null;
  readonly answer: MessageKeys | null;
}

const ROLES: Readonly<Record<string, KeyRole>> = {
  "etcdserverpb.RangeRequest.key": "key",
  "etcdserverpb.RangeRequest.range_end": "range end",
  "etcdserverpb.PutRequest.key": "key",
  "etcdserverpb.DeleteRangeRequest.key": "key",
  "etcdserverpb.DeleteRangeRequest.range_end": "range end",
  "etcdserverpb.Compare.key": "key",
  "etcdserverpb.Compare.range_end": "range end",
  "etcdserverpb.WatchCreateRequest.key": "watch key",
  "etcdserverpb.WatchCreateRequest.range_end": "range end",
  "etcdserverpb.LeaseTimeToLiveResponse.keys": "listed key",
  "mvccpb.KeyValue.key": "key",
  "v3lockpb.LockRequest.name": "name",
  "v3lockpb.LockResponse.key": "key",
  "v3lockpb.UnlockRequest.key": "key",
  "v3electionpb.CampaignRequest.name": "name",
  "v3electionpb.LeaderRequest.name": "name",
  "v3electionpb.LeaderKey.name": "name",
  "v3electionpb.LeaderKey.key": "key",
};

const CLOSED: ReadonlySet<string> = new Set([
  "etcdserverpb.TxnRequest",
  "etcdserverpb.RequestOp",
  "etcdserverpb.WatchRequest",
]);

/** Made once for each message. Null: none there, nor in the messages that it holds. */
const known = new Map<DescMessage, MessageKeys | null>();

/** The keys in the messages of `method`. */
export function methodKeysOf(method: DescMethod): MethodKeys {
  return { request: messageKeysOf(method.input), answer: messageKeysOf(method.output) };
}

/** The keys in messages of the type `message`; null when there are none. */
export function messageKeysOf(message: DescMessage): MessageKeys | null {
  const before = known.get(message);
  if (before !== undefined) return before;
  const fields: (KeyRole | MessageKeys | null | undefined)[] = [];
  const keys: MessageKeys = {
    fields,
    name: message.name,
    closed: CLOSED.has(message.typeName),
    required: numberOf(message, "key"),
    supplied: numberOf(message, "name") || numberOf(message, "watch key"),
  };
  // A transaction holds operations, which hold transactions: those are found here while it is still being made.
  known.set(message, keys);
  for (const field of message.fields) fields[field.number] = keysIn(field);
  const hasAny = fields.some((field) => field !== null && field !== undefined);
  if (!hasAny) known.set(message, null);
  return hasAny ? keys : null;
}

function keysIn(field: DescField): KeyRole | MessageKeys | null {
  return roleOf(field) ?? (field.message === undefined ? null : messageKeysOf(field.message));
}

function roleOf(field: DescField): KeyRole | undefined {
  return ROLES[`${field.parent.typeName}.${field.name}`];
}

function numberOf(message: DescMessage, role: KeyRole): number {
  return message.fields.find((field) => roleOf(field) === role)?.number ?? 0;
}
