import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { decodedAnswerBytes, decodedBytes } from "../../src/etcd/message-weight.ts";
import { methodPath } from "../../src/etcd/services.ts";
import { KV, RangeResponseSchema, TxnResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";

const MIB = 1024 * 1024;
const path = methodPath(KV.method.range);

/** `count` times the two bytes of an empty field with this tag. */
const empties = (tag: number, count: number): Uint8Array =>
  new Uint8Array(2 * count).map((_, at) => (at % 2 === 0 ? tag : 0));

const weigh = (bytes: Uint8Array): number => decodedAnswerBytes(path, bytes, 0, bytes.length);

describe("what a message takes once it is decoded", () => {
  test("is about its length when it is mostly values", () => {
    const value = new Uint8Array(MIB);
    const bytes = toBinary(RangeResponseSchema, create(RangeResponseSchema, { kvs: [{ value }, { value }] }));
    expect(weigh(bytes)).toBeLessThan(bytes.length + 1000);
  });

  test("is a hundred times its length when it is many empty messages", () => {
    expect(weigh(empties(0x12, 10_000))).toBeGreaterThan(100 * 20_000);
  });

  test("counts messages within messages", () => {
    const kvs = Array.from({ length: 1000 }, () => ({}));
    const responses = [{ response: { case: "responseRange" as const, value: { kvs } } }];
    const bytes = toBinary(TxnResponseSchema, create(TxnResponseSchema, { responses }));
    expect(decodedBytes(TxnResponseSchema, bytes, 0, bytes.length)).toBeGreaterThan(1000 * 150);
  });

  test("counts fields that nobody knows, which are kept as objects", () => {
    expect(weigh(empties(0x7a, 10_000))).toBeGreaterThan(100 * 20_000);
  });

  test("of broken bytes is their length, and so is that of an unknown method's answer", () => {
    const broken = Uint8Array.of(0x12, 0x7f, 0);
    expect(weigh(broken)).toBe(3);
    expect(decodedAnswerBytes("/no.Service/Method", broken, 0, 3)).toBe(3);
  });

  test("of messages nested without end is counted without ending the process", () => {
    // TxnResponse within ResponseOp within TxnResponse ..., each two bytes longer than the one inside.
    let bytes: Uint8Array = new Uint8Array(0);
    while (bytes.length < 120)
      bytes = Uint8Array.of(bytes.length % 4 === 0 ? 0x1a : 0x22, bytes.length, ...bytes);
    expect(decodedBytes(TxnResponseSchema, bytes, 0, bytes.length)).toBeGreaterThan(0);
  });
});
