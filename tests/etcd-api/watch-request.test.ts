import { describe, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { cancelRequest, createRequest, progressRequest } from "../../src/etcd/watch-request.ts";
import { WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function asked(request: Uint8Array) {
  return fromBinary(WatchRequestSchema, request).requestUnion;
}

describe("a watch request", () => {
  const range = KeyRange.of(utf8("a"), utf8("b"))!;

  test("creates a watch of a range", () => {
    const request = createRequest({
      range,
      startRevision: 2 ** 40,
      prevKv: true,
      progressNotify: true,
      fragment: true,
      watchId: 7,
    });
    expect(asked(request)).toMatchObject({
      case: "createRequest",
      value: {
        key: utf8("a"),
        rangeEnd: utf8("b"),
        startRevision: 2n ** 40n,
        prevKv: true,
        progressNotify: true,
        fragment: true,
        watchId: 7n,
        filters: [],
      },
    });
  });

  test("asks for nothing that is not wanted", () => {
    const plain = { startRevision: 0, prevKv: false, progressNotify: false, fragment: false };
    expect(asked(createRequest({ range, ...plain }))).toMatchObject({
      case: "createRequest",
      value: { startRevision: 0n, prevKv: false, progressNotify: false, fragment: false, watchId: 0n },
    });
  });

  test("cancels a watch", () => {
    expect(asked(cancelRequest(7))).toMatchObject({ case: "cancelRequest", value: { watchId: 7n } });
    expect(asked(cancelRequest(0))).toMatchObject({ case: "cancelRequest", value: { watchId: 0n } });
  });

  test("asks for progress", () => {
    expect(asked(progressRequest()).case).toBe("progressRequest");
  });
});
