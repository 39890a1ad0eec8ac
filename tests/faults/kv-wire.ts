/**
 * The requests and answers of the store's model, as messages of etcd's API and back.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Compare as CompareMessage,
  Compare_CompareResult,
  Compare_CompareTarget,
  CompareSchema,
  type DeleteRangeResponse,
  type PutResponse,
  type RangeResponse,
  type RequestOp,
  RequestOpSchema,
  type ResponseOp,
  type TxnResponse,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import type { KeyValue } from "../../src/gen/mvccpb/kv_pb.ts";
import { latin1 } from "./change.ts";
import type { Compare, KvAnswer, KvRequest, Pair } from "./linearizability/kv-operation.ts";

export const fromLatin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

const RESULTS = {
  "=": Compare_CompareResult.EQUAL,
  "!=": Compare_CompareResult.NOT_EQUAL,
  "<": Compare_CompareResult.LESS,
  ">": Compare_CompareResult.GREATER,
} as const;

const TARGETS = {
  version: Compare_CompareTarget.VERSION,
  create: Compare_CompareTarget.CREATE,
  mod: Compare_CompareTarget.MOD,
  value: Compare_CompareTarget.VALUE,
} as const;

export function compareMessage({ key, target, relation, operand }: Compare): CompareMessage {
  const result = RESULTS[relation];
  return create(CompareSchema, {
    key: fromLatin1(key),
    result,
    target: TARGETS[target],
    targetUnion: targetUnion(target, operand),
  });
}

function targetUnion(target: Compare["target"], operand: number | string): CompareMessage["targetUnion"] {
  if (target === "value") return { case: "value", value: fromLatin1(String(operand)) };
  const value = BigInt(operand);
  if (target === "version") return { case: "version", value };
  return target === "mod" ? { case: "modRevision", value } : { case: "createRevision", value };
}

/** The request as an operation of a transaction, which is also what a call of its own takes. */
export function requestOp(request: KvRequest): RequestOp {
  return create(RequestOpSchema, { request: requestUnion(request) });
}

type RequestUnion = NonNullable<MessageInitShape<typeof RequestOpSchema>["request"]>;

function requestUnion(request: KvRequest): RequestUnion {
  const key = request.kind === "txn" ? new Uint8Array() : fromLatin1(request.key);
  switch (request.kind) {
    case "range":
      return { case: "requestRange", value: { key, rangeEnd: fromLatin1(request.rangeEnd ?? "") } };
    case "put": {
      const { value, prevKv = false } = request;
      return { case: "requestPut", value: { key, value: fromLatin1(value), prevKv } };
    }
    case "delete": {
      const { rangeEnd = "", prevKv = false } = request;
      return { case: "requestDeleteRange", value: { key, rangeEnd: fromLatin1(rangeEnd), prevKv } };
    }
    case "txn": {
      const compare = request.compare.map(compareMessage);
      const [success, failure] = [request.success.map(requestOp), request.failure.map(requestOp)];
      return { case: "requestTxn", value: { compare, success, failure } };
    }
  }
}

export function rangeAnswer({ kvs, count }: RangeResponse): KvAnswer {
  return { kind: "range", pairs: kvs.map(pairOf), count: Number(count) };
}

export function putAnswer({ prevKv }: PutResponse): KvAnswer {
  return { kind: "put", previous: prevKv === undefined ? undefined : pairOf(prevKv) };
}

export function deleteAnswer({ deleted, prevKvs }: DeleteRangeResponse): KvAnswer {
  return { kind: "delete", deleted: Number(deleted), previous: prevKvs.map(pairOf) };
}

export function txnAnswer({ succeeded, responses }: TxnResponse): KvAnswer {
  return { kind: "txn", succeeded, responses: responses.map(responseAnswer) };
}

function responseAnswer({ response }: ResponseOp): KvAnswer {
  switch (response.case) {
    case "responseRange":
      return rangeAnswer(response.value);
    case "responsePut":
      return putAnswer(response.value);
    case "responseDeleteRange":
      return deleteAnswer(response.value);
    case "responseTxn":
      return txnAnswer(response.value);
    case undefined:
      throw new Error("an operation of a transaction without an answer");
  }
}

function pairOf({ key, value, createRevision, modRevision, version }: KeyValue): Pair {
  return {
    key: latin1(key),
    value: latin1(value),
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
  };
}
