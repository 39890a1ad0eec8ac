/**
 * What a client may ask on a Watch stream, read out of a WatchRequest.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../etcd/key-range.ts";
import {
  WatchCreateRequest_FilterType as Filter,
  type WatchCreateRequest,
  WatchRequestSchema,
} from "../../gen/etcdserverpb/watch_pb.ts";
import type { WatchId, WatchOptions } from "./subscriber.ts";

export interface CreateRequest {
  readonly kind: "create";
  /** Null when no key can lie in it. */
  readonly range: KeyRange | null;
  /** What the caller has to have permission for: the range, or the first key of one that is empty. */
  readonly checkedRange: KeyRange;
  /** 0: now. */
  readonly startRevision: number;
  /** 0: the stream chooses. */
  readonly watchId: WatchId;
  readonly options: WatchOptions;
}

export type ClientRequest =
  | CreateRequest
  | { readonly kind: "cancel"; readonly watchId: WatchId }
  | { readonly kind: "progress" }
  /** Of a newer client, or empty: etcd passes over it. */
  | { readonly kind: "nothing" };

/** Reads the WatchRequest `bytes[start, end)`. @throws Error when it is not one. */
export function readClientRequest(bytes: Uint8Array, start: number, end: number): ClientRequest {
  const { requestUnion } = fromBinary(WatchRequestSchema, bytes.subarray(start, end));
  switch (requestUnion.case) {
    case "createRequest":
      return createRequest(requestUnion.value);
    case "cancelRequest":
      return { kind: "cancel", watchId: watchIdOf(requestUnion.value.watchId) };
    case "progressRequest":
      return { kind: "progress" };
    default:
      return { kind: "nothing" };
  }
}

function createRequest(request: WatchCreateRequest): CreateRequest {
  const { filters, prevKv, fragment, progressNotify } = request;
  const range = KeyRange.of(request.key, request.rangeEnd);
  return {
    kind: "create",
    range,
    checkedRange: range ?? KeyRange.of(request.key, NO_RANGE_END)!,
    startRevision: Number(request.startRevision),
    watchId: watchIdOf(request.watchId),
    options: {
      prevKv,
      fragment,
      progressNotify,
      noPut: filters.includes(Filter.NOPUT),
      noDelete: filters.includes(Filter.NODELETE),
    },
  };
}

function watchIdOf(id: bigint): WatchId {
  return id >= Number.MIN_SAFE_INTEGER && id <= Number.MAX_SAFE_INTEGER ? Number(id) : id;
}

const NO_RANGE_END = new Uint8Array(0);
