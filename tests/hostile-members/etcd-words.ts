/** What an etcd would answer, for a hostile member that behaves until it is trusted; and what none would. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { methodPath } from "../../src/etcd/services.ts";
import { type ResponseHeader, ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { KV, RangeResponseSchema, TxnResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch, WatchRequestSchema, WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import type { HostileCall } from "./hostile-member.ts";

export const RANGE = methodPath(KV.method.range);
export const TXN = methodPath(KV.method.txn);
export const PUT = methodPath(KV.method.put);
export const WATCH = methodPath(Watch.method.watch);
export const KEEP_ALIVE = methodPath(Lease.method.leaseKeepAlive);

export const REVISION = 5n;
export const HEADER = headerAt(REVISION);

export function headerAt(revision: bigint): ResponseHeader {
  return create(ResponseHeaderSchema, { clusterId: 1n, memberId: 2n, revision, raftTerm: 3n });
}

export const text = (words: string): Uint8Array => new TextEncoder().encode(words);

export function rangeAnswer(answer: MessageInitShape<typeof RangeResponseSchema> = {}): Uint8Array {
  return toBinary(RangeResponseSchema, create(RangeResponseSchema, { header: HEADER, ...answer }));
}

export function txnAnswer(revision = REVISION): Uint8Array {
  return toBinary(TxnResponseSchema, create(TxnResponseSchema, { header: headerAt(revision) }));
}

export function watchAnswer(answer: MessageInitShape<typeof WatchResponseSchema>): Uint8Array {
  return toBinary(WatchResponseSchema, create(WatchResponseSchema, { header: HEADER, ...answer }));
}

/** An event at `revision` with a value of `valueBytes`. */
export function event(
  key: string,
  revision: bigint,
  valueBytes = 10,
): NonNullable<MessageInitShape<typeof WatchResponseSchema>["events"]>[number] {
  const value = new Uint8Array(valueBytes).fill(120);
  return { kv: { key: text(key), value, createRevision: revision, modRevision: revision, version: 1n } };
}

/** The watch ids that the requests of a Watch call have asked for, in their order. */
export function createdIds(body: Uint8Array): bigint[] {
  const ids: bigint[] = [];
  const view = new DataView(body.buffer, body.byteOffset);
  for (let at = 0; at + 5 <= body.length;) {
    const end = at + 5 + view.getUint32(at + 1);
    if (end > body.length) break;
    const { requestUnion } = fromBinary(WatchRequestSchema, body.subarray(at + 5, end));
    if (requestUnion.case === "createRequest") ids.push(requestUnion.value.watchId);
    at = end;
  }
  return ids;
}

/** Answers reads of the revision, which the proxy makes before it opens a watch. True when `call` was one. */
export function answeredProbe({ path, ended, connection, streamId }: HostileCall): boolean {
  if (path !== TXN) return false;
  if (ended) connection.answer(streamId, txnAnswer());
  return true;
}
