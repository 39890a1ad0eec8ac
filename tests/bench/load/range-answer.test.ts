import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { RangeResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { holdsKey } from "./range-answer.ts";

const key = new TextEncoder().encode("bench/zipf/0042");
const header = { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 2n ** 40n, raftTerm: 2n };
const kv = { key, createRevision: 3n, modRevision: 2n ** 40n, version: 7n, value: new Uint8Array(256) };

function holds(answer: MessageInitShape<typeof RangeResponseSchema>, wanted = key): boolean {
  const message = toBinary(RangeResponseSchema, create(RangeResponseSchema, answer));
  // Somewhere within a frame.
  const frame = Buffer.concat([Buffer.alloc(14, 0x12), message, Buffer.alloc(9, 0x12)]);
  return holdsKey(frame, 14, 14 + message.length, wanted);
}

test("an answer with the key holds it, with and without a header", () => {
  expect(holds({ header, kvs: [kv], count: 1n })).toBe(true);
  expect(holds({ kvs: [{ key }], count: 1n })).toBe(true);
});

test("an answer without a key, or with another one, does not", () => {
  expect(holds({ header })).toBe(false);
  expect(holds({})).toBe(false);
  expect(holds({ header, kvs: [kv] }, new TextEncoder().encode("bench/zipf/0043"))).toBe(false);
  expect(holds({ header, kvs: [kv] }, key.slice(0, -1))).toBe(false);
  expect(holds({ header, kvs: [{ ...kv, key: key.slice(0, 3) }] })).toBe(false);
});
