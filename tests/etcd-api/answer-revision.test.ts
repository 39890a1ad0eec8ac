import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { revisionOfAnswer, UNKNOWN_REVISION } from "../../src/etcd/answer-revision.ts";
import { ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { PutResponseSchema, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";

const header = { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 123_456_789_012n, raftTerm: 7n };

/** The revision of a message that lies in the middle of something else, and of which the first `length` bytes are there. */
function revisionOf(message: Uint8Array, length = message.length): number {
  const chunk = Buffer.concat([Buffer.alloc(3, 0xff), message, Buffer.alloc(3, 0xff)]);
  return revisionOfAnswer(chunk, 3, 3 + length);
}

describe("the revision of an answer", () => {
  test("is that of its header, whatever the answer", () => {
    const put = create(PutResponseSchema, { header });
    expect(revisionOf(toBinary(PutResponseSchema, put))).toBe(123_456_789_012);
    const range = create(RangeResponseSchema, { header, kvs: [{ modRevision: 5n }], count: 1n });
    expect(revisionOf(toBinary(RangeResponseSchema, range))).toBe(123_456_789_012);
  });

  test("is there as soon as the header is, and not before", () => {
    const range = create(RangeResponseSchema, { header, kvs: [{ key: Buffer.alloc(100) }] });
    const message = toBinary(RangeResponseSchema, range);
    const headerEnd = 2 + toBinary(ResponseHeaderSchema, create(ResponseHeaderSchema, header)).length;
    for (let length = 0; length < message.length; length++) {
      expect(revisionOf(message, length)).toBe(length < headerEnd ? UNKNOWN_REVISION : 123_456_789_012);
    }
  });

  test("is unknown without a header, without a revision in it, or with the header elsewhere", () => {
    expect(revisionOf(new Uint8Array(0))).toBe(UNKNOWN_REVISION);
    expect(revisionOf(toBinary(RangeResponseSchema, create(RangeResponseSchema, { count: 1n })))).toBe(
      UNKNOWN_REVISION,
    );
    expect(revisionOf(Uint8Array.of(0x0a, 0))).toBe(UNKNOWN_REVISION);
    expect(revisionOf(Uint8Array.of(0x0a, 2, 0x20, 7))).toBe(UNKNOWN_REVISION);
    expect(revisionOf(Uint8Array.of(0x20, 1, 0x0a, 2, 0x18, 7))).toBe(UNKNOWN_REVISION);
  });

  test("is unknown when the header is broken", () => {
    expect(revisionOf(Uint8Array.of(0x0a, 3, 0x18, 7, 0x1b))).toBe(UNKNOWN_REVISION);
    expect(revisionOf(Uint8Array.of(0x0a, 2, 0x18, 0x87, 0x01))).toBe(UNKNOWN_REVISION);
    expect(revisionOf(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f))).toBe(UNKNOWN_REVISION);
  });
});
