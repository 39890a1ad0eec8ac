import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { LeaseKeepAliveResponseSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { KeepAliveAnswer } from "./keep-alive-answer.ts";

const header = { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 2n ** 40n, raftTerm: 2n };

function read(answer: MessageInitShape<typeof LeaseKeepAliveResponseSchema>): [number, number] {
  const message = toBinary(LeaseKeepAliveResponseSchema, create(LeaseKeepAliveResponseSchema, answer));
  // Somewhere within a frame.
  const frame = Buffer.concat([Buffer.alloc(14, 0x10), message, Buffer.alloc(9, 0x10)]);
  const seen = new KeepAliveAnswer();
  seen.read(frame, 14, 14 + message.length);
  return [seen.leaseId, seen.ttlSeconds];
}

test("an answer tells the lease and how long it lives", () => {
  expect(read({ header, ID: 2n ** 53n - 1n, TTL: 3n })).toEqual([2 ** 53 - 1, 3]);
  expect(read({ ID: 7n, TTL: 300n })).toEqual([7, 300]);
});

test("a lease that is gone has no time to live, or less", () => {
  expect(read({ header, ID: 7n })).toEqual([7, 0]);
  expect(read({ header, ID: 7n, TTL: -1n })).toEqual([7, -1]);
});

test("what is no answer is refused", () => {
  const refused = (bytes: readonly number[]): (() => void) => {
    return () => new KeepAliveAnswer().read(Uint8Array.from(bytes), 0, bytes.length);
  };
  expect(refused([0x22, 1, 0x61])).toThrow("the tag 34");
  expect(refused([0x0a, 9, 0x08, 1])).toThrow("cut off");
});
