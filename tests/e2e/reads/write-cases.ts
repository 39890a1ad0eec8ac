/**
 * The writes that a read cache has to know: each kind, which keys it may change, and how a client makes it.
 *
 * Each case writes below a prefix of its own, where the pairs `a`, `b` and `c` are; the ranges that it may change
 * are told exactly, so that a test can demand of every other one that it is kept.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  type RequestOpSchema,
  type TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { type KeyRange, keyBytes, prefixOf, type ReadClient } from "./read-client.ts";

type Txn = MessageInitShape<typeof TxnRequestSchema>;
type Operation = MessageInitShape<typeof RequestOpSchema>;

export interface WriteCase {
  readonly name: string;
  /** Where the pairs of the case are, when not at the prefix that the test chooses. */
  readonly prefix?: string;
  readonly touches: (prefix: string) => readonly KeyRange[];
  readonly run: (client: ReadClient, prefix: string) => Promise<unknown>;
}

/** The first key behind `key`. */
export function after(key: string): string {
  return `${key}\0`;
}

/** Whether two ranges have a key in common that there could be. */
export function overlap(one: KeyRange, other: KeyRange): boolean {
  return below(one.key, endOf(other)) && below(other.key, endOf(one));
}

/** The first key behind a range; undefined when it has no end. */
function endOf({ key, rangeEnd = "" }: KeyRange): string | undefined {
  if (rangeEnd === "") return after(key);
  return rangeEnd === "\0" ? undefined : rangeEnd;
}

function below(key: string, end: string | undefined): boolean {
  return end === undefined || key < end;
}

/** The ranges that are read before and after each write below `prefix`. */
export function rangesAround(prefix: string): KeyRange[] {
  const [a, b, c] = [`${prefix}a`, `${prefix}b`, `${prefix}c`];
  return [
    { key: a },
    { key: b },
    { key: c },
    { key: after(b) },
    { key: a, rangeEnd: b },
    { key: a, rangeEnd: after(b) },
    { key: b, rangeEnd: c },
    { key: after(b), rangeEnd: c },
    { key: after(b), rangeEnd: after(c) },
    { key: prefix, rangeEnd: `${prefix}\xff` },
    { key: `${prefix}d`, rangeEnd: `${prefix}e` },
    { key: a, rangeEnd: "\0" },
    { key: b, rangeEnd: "\0" },
    { key: after(b), rangeEnd: "\0" },
    { key: after(c), rangeEnd: "\0" },
    { key: "\0", rangeEnd: "\0" },
    { key: "\0", rangeEnd: prefix },
    { key: "\xff", rangeEnd: "\0" },
    { key: "elsewhere" },
    { key: "elsewhere/", rangeEnd: "elsewhere0" },
  ];
}

const put = (key: string, value = "new"): Operation => ({
  request: { case: "requestPut", value: { key: keyBytes(key), value: keyBytes(value) } },
});
const deletion = ({ key, rangeEnd = "" }: KeyRange): Operation => ({
  request: { case: "requestDeleteRange", value: { key: keyBytes(key), rangeEnd: keyBytes(rangeEnd) } },
});
const range = (key: string): Operation => ({
  request: { case: "requestRange", value: { key: keyBytes(key) } },
});
const nested = (txn: Txn): Operation => ({ request: { case: "requestTxn", value: txn as never } });

/** Holds when `key` is there. */
const exists = (key: string) => ({
  key: keyBytes(key),
  target: Compare_CompareTarget.VERSION,
  result: Compare_CompareResult.GREATER,
  targetUnion: { case: "version" as const, value: 0n },
});

function txnCase(name: string, touches: WriteCase["touches"], txnOf: (prefix: string) => Txn): WriteCase {
  const run = (client: ReadClient, prefix: string) => client.grpc.unary(KV.method.txn, txnOf(prefix));
  return { name: `a Txn that ${name}`, touches, run };
}

function deleteCase(name: string, rangeOf: (prefix: string) => KeyRange, prefix?: string): WriteCase {
  return {
    name: `a DeleteRange of ${name}`,
    ...(prefix === undefined ? {} : { prefix }),
    touches: (base) => [rangeOf(base)],
    run: (client, base) => {
      const { key, rangeEnd = "" } = rangeOf(base);
      return client.grpc.unary(KV.method.deleteRange, { key: keyBytes(key), rangeEnd: keyBytes(rangeEnd) });
    },
  };
}

const onlyB = (prefix: string): readonly KeyRange[] => [{ key: `${prefix}b` }];

export const WRITE_CASES: readonly WriteCase[] = [
  {
    name: "a Put of a key that is there",
    touches: onlyB,
    run: (client, prefix) => client.put(`${prefix}b`, "new"),
  },
  {
    name: "a Put of a new key",
    touches: (prefix) => [{ key: `${prefix}b\0` }],
    run: (client, prefix) => client.put(`${prefix}b\0`, "new"),
  },
  {
    name: "a Put that asks for the previous pair and keeps the value",
    touches: onlyB,
    run: (client, prefix) =>
      client.grpc.unary(KV.method.put, { key: keyBytes(`${prefix}b`), ignoreValue: true, prevKv: true }),
  },
  {
    name: "a Put of a key of 0xff bytes",
    prefix: "\xff\xff",
    touches: onlyB,
    run: (client, prefix) => client.put(`${prefix}b`, "new"),
  },
  {
    name: "a Put of the lowest key",
    touches: () => [{ key: "\0" }],
    run: (client) => client.put("\0", "new"),
  },
  deleteCase("one key", (prefix) => ({ key: `${prefix}b` })),
  deleteCase("a range", (prefix) => ({ key: `${prefix}b`, rangeEnd: `${prefix}c` })),
  deleteCase("a range without pairs", (prefix) => ({ key: `${prefix}d`, rangeEnd: `${prefix}e` })),
  deleteCase("a prefix", (prefix) => prefixOf(prefix)),
  deleteCase("all keys from one on", (prefix) => ({ key: `${prefix}b`, rangeEnd: "\0" })),
  deleteCase("a prefix of 0xff bytes", () => ({ key: "\xff\xff", rangeEnd: "\0" }), "\xff\xff"),
  deleteCase("all keys", () => ({ key: "\0", rangeEnd: "\0" })),
  txnCase("puts", onlyB, (prefix) => ({ success: [put(`${prefix}b`)] })),
  txnCase("deletes", onlyB, (prefix) => ({ success: [deletion({ key: `${prefix}b` })] })),
  txnCase(
    "puts, deletes and reads several",
    (prefix) => [{ key: `${prefix}a` }, { key: `${prefix}c`, rangeEnd: `${prefix}d` }],
    (prefix) => ({
      success: [
        range(`${prefix}b`),
        put(`${prefix}a`),
        deletion({ key: `${prefix}c`, rangeEnd: `${prefix}d` }),
        range("elsewhere"),
      ],
    }),
  ),
  txnCase("puts when its compare holds", onlyB, (prefix) => ({
    compare: [exists(`${prefix}a`)],
    success: [put(`${prefix}b`)],
  })),
  txnCase("puts when its compare fails", onlyB, (prefix) => ({
    compare: [exists(`${prefix}missing`)],
    failure: [put(`${prefix}b`)],
  })),
  txnCase("puts within a Txn within a Txn", onlyB, (prefix) => ({
    success: [range(`${prefix}a`), nested({ success: [nested({ success: [put(`${prefix}b`)] })] })],
  })),
  txnCase("deletes in the branch of a Txn within that it takes", onlyB, (prefix) => ({
    compare: [exists(`${prefix}a`)],
    success: [nested({ compare: [exists(`${prefix}missing`)], failure: [deletion({ key: `${prefix}b` })] })],
  })),
  txnCase(
    "deletes all keys",
    () => [{ key: "\0", rangeEnd: "\0" }],
    () => ({
      failure: [],
      success: [deletion({ key: "\0", rangeEnd: "\0" })],
    }),
  ),
  txnCase(
    "compares and writes nothing",
    () => [],
    (prefix) => ({
      compare: [exists(`${prefix}a`)],
      success: [range(`${prefix}b`)],
      failure: [range(`${prefix}c`)],
    }),
  ),
];
