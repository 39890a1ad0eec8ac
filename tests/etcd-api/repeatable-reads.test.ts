import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { isRepeatableRead } from "../../src/etcd/repeatable-reads.ts";
import { methodPath, SERVICES } from "../../src/etcd/services.ts";
import { type RequestOpSchema, TxnRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";

const NOTHING = new Uint8Array(0);
const TXN = "/etcdserverpb.KV/Txn";

type Op = MessageInitShape<typeof RequestOpSchema>;
const key = new TextEncoder().encode("k");
const range: Op = { request: { case: "requestRange", value: { key } } };
const put: Op = { request: { case: "requestPut", value: { key } } };
const remove: Op = { request: { case: "requestDeleteRange", value: { key } } };
const txn = (success: Op[], failure: Op[] = []): Op => ({
  request: { case: "requestTxn", value: { success, failure } },
});

function isReadTxn(success: Op[], failure: Op[] = []): boolean {
  return isRepeatableRead(TXN, toBinary(TxnRequestSchema, create(TxnRequestSchema, { success, failure })));
}

test("of all methods, these are reads whatever they ask", () => {
  const paths = SERVICES.flatMap((service) => service.methods.map(methodPath));
  expect(paths.filter((path) => path !== TXN && isRepeatableRead(path, NOTHING)).toSorted()).toEqual([
    "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.Lease/LeaseLeases",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Status",
  ]);
});

test("an unknown method is no read", () => {
  expect(isRepeatableRead("/etcdserverpb.KV/Future", NOTHING)).toBe(false);
});

describe("a transaction", () => {
  test("of ranges only is a read, on both branches and nested", () => {
    expect(isReadTxn([range, range], [range])).toBe(true);
    expect(isReadTxn([txn([range], [txn([range])])], [txn([], [range])])).toBe(true);
    expect(isReadTxn([])).toBe(true);
  });

  const writes: readonly (readonly [where: string, success: Op[], failure: Op[]])[] = [
    ["in its success branch", [range, put], []],
    ["in its failure branch", [range], [remove]],
    ["in a nested success branch", [txn([range, put])], []],
    ["in a nested failure branch", [txn([range], [remove])], []],
    ["three levels down", [txn([txn([], [txn([put])])])], []],
  ];
  test.each(writes)("with a write %s is none", (_where, success, failure) => {
    expect(isReadTxn(success, failure)).toBe(false);
  });

  test("with an operation nobody knows yet is none", () => {
    // Field 9 of RequestOp, inside the first success operation.
    expect(isRepeatableRead(TXN, Uint8Array.of(0x12, 0x02, 0x4a, 0x00))).toBe(false);
  });

  test("with a field nobody knows yet is none", () => {
    expect(isRepeatableRead(TXN, Uint8Array.of(0x12, 0x02, 0x0a, 0x00, 0x22, 0x00))).toBe(false);
  });

  test("in which a put hides behind a field of the wrong type is none", () => {
    // Success as a number, 8: who passes over that number, as etcd 3.7 does, finds a put behind it.
    const hidden = [0x12, 0x06, 0x12, 0x04, 0x0a, 0x00, 0x12, 0x00];
    expect(isRepeatableRead(TXN, Uint8Array.of(0x10, hidden.length + 2, ...hidden, 0x0a, 0x00))).toBe(false);
  });

  test("that compares first is a read all the same", () => {
    const request = create(TxnRequestSchema, { compare: [{ key }], success: [range], failure: [range] });
    expect(isRepeatableRead(TXN, toBinary(TxnRequestSchema, request))).toBe(true);
  });

  test("that cannot be decoded is none", () => {
    expect(isRepeatableRead(TXN, Uint8Array.of(0x12, 0xff))).toBe(false);
  });
});
