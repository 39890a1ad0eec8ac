/**
 * A cluster that serves reads and writes of keys: one history, and members that lag behind it.
 *
 * A linearizable call first brings its member up to the newest revision. Every answer has a number of its own, in its
 * header, so that whoever is given it can be asked where it came from.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { methodPath } from "../../../src/etcd/services.ts";
import { Auth, AuthDisableResponseSchema } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import {
  CompactionRequestSchema,
  CompactionResponseSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  KV,
  PutRequestSchema,
  PutResponseSchema,
  type RangeRequest,
  RangeRequestSchema,
  RangeResponseSchema,
  type TxnRequest,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import {
  Lease,
  LeaseRevokeRequestSchema,
  LeaseRevokeResponseSchema,
} from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Code, type Status } from "../../../src/grpc/status.ts";

export interface Change {
  readonly revision: number;
  readonly key: string;
  /** Null: deleted. */
  readonly value: string | null;
}

/** What a member makes of a call. */
export interface Outcome {
  /** Null when the call failed. */
  readonly message: Uint8Array | null;
  readonly status: Status;
  /** What an answer's header says. */
  readonly revision: number;
  readonly changes: readonly Change[];
}

export const PATHS = {
  range: methodPath(KV.method.range),
  put: methodPath(KV.method.put),
  deleteRange: methodPath(KV.method.deleteRange),
  txn: methodPath(KV.method.txn),
  compact: methodPath(KV.method.compact),
  revoke: methodPath(Lease.method.leaseRevoke),
  auth: methodPath(Auth.method.authDisable),
};
export const KEYS: readonly string[] = ["a", "b", "c", "d"];

const OK: Status = { code: Code.OK, message: "" };
const COMPACTED = failure("etcdserver: mvcc: required revision has been compacted");
const FUTURE = failure("etcdserver: mvcc: required revision is a future revision");

export class ModelEtcd {
  readonly changes: Change[] = [];
  revision = 1;
  compactedRevision = 0;
  /** How far each member is. */
  readonly applied: number[];
  /** Answers so far. */
  answers = 0;

  constructor(members: number) {
    this.applied = Array.from({ length: members }, () => 1);
  }

  /** One transaction; deletions of missing keys are no changes. */
  write(wanted: readonly (readonly [key: string, value: string | null])[]): Change[] {
    const revision = this.revision + 1;
    const made = wanted
      .filter(([key, value]) => value !== null || this.#valueOf(key, this.revision) !== null)
      .map(([key, value]) => ({ revision, key, value }));
    if (made.length === 0) return [];
    this.revision = revision;
    this.changes.push(...made);
    return made;
  }

  /** Runs a call on a member. */
  run(path: string, message: Uint8Array, member: number): Outcome {
    if (path === PATHS.range) return this.#range(fromBinary(RangeRequestSchema, message), member);
    const changes = this.#write(path, message);
    this.applied[member] = this.revision;
    const { revision } = this;
    return { message: this.#answerTo(path, message), status: OK, revision, changes };
  }

  #write(path: string, message: Uint8Array): Change[] {
    switch (path) {
      case PATHS.put: {
        const { key, value } = fromBinary(PutRequestSchema, message);
        return this.write([[text(key), text(value)]]);
      }
      case PATHS.deleteRange:
        return this.#delete(fromBinary(DeleteRangeRequestSchema, message));
      case PATHS.txn:
        return this.#txn(fromBinary(TxnRequestSchema, message));
      case PATHS.revoke: {
        // The lease of that number is on the key of that number.
        const { ID } = fromBinary(LeaseRevokeRequestSchema, message);
        return this.write([[KEYS[Number(ID)]!, null]]);
      }
      case PATHS.compact: {
        const { revision } = fromBinary(CompactionRequestSchema, message);
        this.compactedRevision = Math.max(this.compactedRevision, Number(revision));
        return [];
      }
      case PATHS.auth:
        return [];
      default:
        throw new Error(`the model has no ${path}`);
    }
  }

  #delete({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }): Change[] {
    const range = KeyRange.of(key, rangeEnd);
    return this.write(KEYS.filter((key) => range?.contains(key) === true).map((key) => [key, null]));
  }

  #txn({ success, failure }: TxnRequest): Change[] {
    // Compares are not looked at: the second branch is taken when there is any.
    return this.write(
      (failure.length > 0 ? failure : success).flatMap(({ request }): [string, string | null][] => {
        if (request.case === "requestPut") return [[text(request.value.key), text(request.value.value)]];
        if (request.case !== "requestDeleteRange") return [];
        const range = KeyRange.of(request.value.key, request.value.rangeEnd);
        return KEYS.filter((key) => range?.contains(key) === true).map((key) => [key, null]);
      }),
    );
  }

  #answerTo(path: string, message: Uint8Array): Uint8Array {
    const header = { revision: BigInt(this.revision), raftTerm: BigInt(++this.answers) };
    switch (path) {
      case PATHS.put:
        return toBinary(PutResponseSchema, create(PutResponseSchema, { header }));
      case PATHS.deleteRange:
        return toBinary(DeleteRangeResponseSchema, create(DeleteRangeResponseSchema, { header }));
      case PATHS.compact:
        return toBinary(CompactionResponseSchema, create(CompactionResponseSchema, { header }));
      case PATHS.revoke:
        return toBinary(LeaseRevokeResponseSchema, create(LeaseRevokeResponseSchema, { header }));
      case PATHS.auth:
        return toBinary(AuthDisableResponseSchema, create(AuthDisableResponseSchema, { header }));
      default: {
        const { success } = fromBinary(TxnRequestSchema, message);
        const responses = success.flatMap(({ request }) =>
          request.case === "requestRange"
            ? [
                {
                  response: { case: "responseRange", value: { kvs: this.kvs(request.value, this.revision) } },
                } as const,
              ]
            : [],
        );
        return toBinary(TxnResponseSchema, create(TxnResponseSchema, { header, responses }));
      }
    }
  }

  #range(request: RangeRequest, member: number): Outcome {
    if (!request.serializable) this.applied[member] = this.revision;
    const revision = this.applied[member]!;
    const asked = Number(request.revision);
    if (asked > revision) return { message: null, status: FUTURE, revision, changes: [] };
    if (asked > 0 && asked < this.compactedRevision) {
      return { message: null, status: COMPACTED, revision, changes: [] };
    }
    const kvs = this.kvs(request, asked > 0 ? asked : revision);
    const header = { revision: BigInt(revision), raftTerm: BigInt(++this.answers) };
    const message = toBinary(RangeResponseSchema, create(RangeResponseSchema, { header, kvs }));
    return { message, status: OK, revision, changes: [] };
  }

  /** The pairs that a range had at `revision`. */
  kvs({ key, rangeEnd }: RangeRequest, revision: number): { key: Uint8Array; value: Uint8Array }[] {
    const range = KeyRange.of(key, rangeEnd);
    return KEYS.flatMap((key) => {
      const value = range?.contains(key) === true ? this.#valueOf(key, revision) : null;
      return value === null ? [] : [{ key: Buffer.from(key), value: Buffer.from(value) }];
    });
  }

  #valueOf(key: string, revision: number): string | null {
    return (
      this.changes.findLast((change) => change.key === key && change.revision <= revision)?.value ?? null
    );
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function failure(message: string): Status {
  return { code: Code.OUT_OF_RANGE, message };
}
