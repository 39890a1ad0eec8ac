/** The WatchRequests that the proxy sends to members (etcd API, Watch), encoded. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { WatchRequestSchema } from "../gen/etcdserverpb/watch_pb.ts";
import type { KeyRange } from "./key-range.ts";

export interface WatchCreation {
  readonly range: KeyRange;
  /** The first revision of interest; 0 is the one after the present. */
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  /** The member may cut an answer that is too large into several. */
  readonly fragment: boolean;
  /** Chosen by the proxy; 0, or none, leaves it to the member. */
  readonly watchId?: number;
}

export function createRequest(creation: WatchCreation): Uint8Array {
  const { range, startRevision, prevKv, progressNotify, fragment, watchId = 0 } = creation;
  return encoded({
    requestUnion: {
      case: "createRequest",
      value: {
        ...range.toRequest(),
        startRevision: BigInt(startRevision),
        prevKv,
        progressNotify,
        fragment,
        watchId: BigInt(watchId),
      },
    },
  });
}

/** Ends the watch `watchId` of the stream that this is sent on. */
export function cancelRequest(watchId: number): Uint8Array {
  return encoded({ requestUnion: { case: "cancelRequest", value: { watchId: BigInt(watchId) } } });
}

/** Asks for the progress of all watches of the stream. */
export function progressRequest(): Uint8Array {
  return encoded({ requestUnion: { case: "progressRequest", value: {} } });
}

function encoded(request: MessageInitShape<typeof WatchRequestSchema>): Uint8Array {
  return toBinary(WatchRequestSchema, create(WatchRequestSchema, request));
}
