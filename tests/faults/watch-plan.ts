/**
 * What a client asks of a watch, and which changes it must therefore be told of.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  WatchCreateRequest_FilterType,
  type WatchRequest,
  WatchRequestSchema,
} from "../../src/gen/etcdserverpb/watch_pb.ts";
import type { Change } from "./change.ts";

const { NOPUT, NODELETE } = WatchCreateRequest_FilterType;
/** As a range's end: no end. */
const FROM_KEY = "\0";

export interface WatchPlan {
  /** Bounds by the rules of RangeRequest, as Latin-1. */
  readonly key: string;
  readonly rangeEnd?: string;
  /** First revision; absent or 0: what comes after the creation. */
  readonly startRevision?: number;
  readonly prevKv?: boolean;
  readonly without?: readonly ("put" | "delete")[];
  readonly progressNotify?: boolean;
  readonly fragment?: boolean;
  /** The client's own id; absent or 0: the server chooses. */
  readonly watchId?: number;
}

export const ALL_KEYS = { key: "\0", rangeEnd: FROM_KEY } as const;

/** All keys that begin with `prefix`, whose last byte is not 0xff. */
export function prefixed(prefix: string): { readonly key: string; readonly rangeEnd: string } {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { key: prefix, rangeEnd: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

/** Whether a watch by this plan is told of `change`, if it is late enough. */
export function concerns(plan: WatchPlan, change: Change): boolean {
  if (plan.without?.includes(change.type) === true) return false;
  const { key, rangeEnd = "" } = plan;
  if (rangeEnd === "") return change.key === key;
  return change.key >= key && (rangeEnd === FROM_KEY || change.key < rangeEnd);
}

/** The request that opens the watch at `startRevision`. */
export function createRequest(plan: WatchPlan, startRevision: number): WatchRequest {
  const { progressNotify = false, prevKv = false, fragment = false, without = [] } = plan;
  return watchRequest({
    case: "createRequest",
    value: {
      key: Buffer.from(plan.key, "latin1"),
      rangeEnd: Buffer.from(plan.rangeEnd ?? "", "latin1"),
      startRevision: BigInt(startRevision),
      filters: without.map((type) => (type === "put" ? NOPUT : NODELETE)),
      watchId: BigInt(plan.watchId ?? 0),
      progressNotify,
      prevKv,
      fragment,
    },
  });
}

type RequestUnion = NonNullable<MessageInitShape<typeof WatchRequestSchema>["requestUnion"]>;

export function watchRequest(requestUnion: RequestUnion): WatchRequest {
  return create(WatchRequestSchema, { requestUnion });
}
