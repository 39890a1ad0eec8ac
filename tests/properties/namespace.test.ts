/**
 * The laws of a namespace: mapping is its own inverse; a range of clients holds the same keys as what it becomes, in the
 * same order; and no range leaves the namespace.
 */
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { messageKeysOf } from "../../src/etcd/key-fields.ts";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { Namespace } from "../../src/etcd/namespace.ts";
import {
  type CompareSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type RequestOpSchema,
  TxnRequestSchema,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { MESSAGE_PREFIX_BYTES } from "../../src/grpc/message-scanner.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(300) });

// Few different bytes, so that keys and prefixes meet; the last one, so that prefixes have no end.
const someBytes = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { minLength, maxLength })
    .map((list) => Uint8Array.from(list));
const prefixes = someBytes(1, 3);
const keys = someBytes(1, 4);
/** Empty: one key; "\0": all behind it. */
const rangeEnds = someBytes(0, 4);
const longKeys = fc.oneof(keys, fc.uint8Array({ minLength: 100, maxLength: 300 }));

function joined(prefix: Uint8Array, key: Uint8Array): Uint8Array {
  return Uint8Array.of(...prefix, ...key);
}

const text = (key: Uint8Array): string => Buffer.from(key).toString("latin1");

function mapped<Desc extends DescMessage>(
  way: "toMember" | "toClient",
  namespace: Namespace,
  schema: Desc,
  message: MessageInitShape<Desc>,
) {
  const plain = toBinary(schema, create(schema, message));
  // Amid other bytes, as messages lie.
  const chunk = new Uint8Array(plain.length + 9).fill(0xee);
  chunk.set(plain, 4);
  const framed = namespace[way](messageKeysOf(schema)!, chunk, 4, 4 + plain.length);
  return fromBinary(schema, framed.subarray(MESSAGE_PREFIX_BYTES));
}

test("a key lies in a range of clients exactly when it lies, prefixed, in what the range becomes", () => {
  fc.assert(
    fc.property(prefixes, keys, rangeEnds, keys, (prefix, key, rangeEnd, other) => {
      const request = mapped("toMember", new Namespace(prefix), RangeRequestSchema, { key, rangeEnd });
      const range = KeyRange.of(key, rangeEnd);
      const became = KeyRange.of(request.key, request.rangeEnd);
      const lies = range?.contains(text(other)) ?? false;
      expect(became?.contains(text(joined(prefix, other))) ?? false).toBe(lies);
    }),
  );
});

test("no range holds a key that does not begin with the prefix, nor the prefix itself", () => {
  fc.assert(
    fc.property(prefixes, keys, rangeEnds, someBytes(1, 6), (prefix, key, rangeEnd, other) => {
      fc.pre(text(other) === text(prefix) || !text(other).startsWith(text(prefix)));
      const request = mapped("toMember", new Namespace(prefix), RangeRequestSchema, { key, rangeEnd });
      expect(KeyRange.of(request.key, request.rangeEnd)?.contains(text(other)) ?? false).toBe(false);
    }),
  );
});

const pairs = fc.record({
  key: longKeys,
  value: fc.uint8Array({ maxLength: 200 }),
  modRevision: fc.bigInt({ min: 0n, max: 2n ** 62n }),
});

test("an answer's keys come back as clients gave them, whatever lies between them", () => {
  fc.assert(
    fc.property(
      prefixes,
      fc.array(pairs, { maxLength: 5 }),
      fc.bigInt({ min: 0n, max: 9n }),
      (prefix, kvs, count) => {
        const answer = { kvs, count, header: { revision: count } };
        const atMember = { ...answer, kvs: kvs.map((kv) => ({ ...kv, key: joined(prefix, kv.key) })) };
        expect(mapped("toClient", new Namespace(prefix), RangeResponseSchema, atMember)).toEqual(
          create(RangeResponseSchema, answer),
        );
      },
    ),
  );
});

test("events of a watch keep everything but the prefix", () => {
  fc.assert(
    fc.property(prefixes, fc.array(fc.tuple(pairs, fc.boolean()), { maxLength: 5 }), (prefix, list) => {
      const events = (key: (plain: Uint8Array) => Uint8Array) =>
        list.map(([kv, hasPrevious]) => ({
          kv: { ...kv, key: key(kv.key) },
          ...(hasPrevious ? { prevKv: { ...kv, key: key(kv.key) } } : {}),
        }));
      const atMember = { watchId: 4n, events: events((key) => joined(prefix, key)) };
      expect(mapped("toClient", new Namespace(prefix), WatchResponseSchema, atMember)).toEqual(
        create(WatchResponseSchema, { watchId: 4n, events: events((key) => key) }),
      );
    }),
  );
});

type Op = MessageInitShape<typeof RequestOpSchema>;
type Comparison = MessageInitShape<typeof CompareSchema>;

interface Txn {
  compare: Comparison[];
  success: Op[];
  failure: Op[];
}

const { txn } = fc.letrec<{ op: Op; txn: Txn }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 4, depthIdentifier: "txn" },
    fc
      .record({ key: longKeys, rangeEnd: rangeEnds })
      .map((value) => ({ request: { case: "requestRange", value } }) as const),
    fc
      .record({ key: longKeys, value: rangeEnds })
      .map((value) => ({ request: { case: "requestPut", value } }) as const),
    fc
      .record({ key: longKeys, rangeEnd: rangeEnds, prevKv: fc.boolean() })
      .map((value) => ({ request: { case: "requestDeleteRange", value } }) as const),
    tie("txn").map((value) => ({ request: { case: "requestTxn", value } }) as const),
  ),
  txn: fc.record({
    compare: fc.array(fc.record({ key: longKeys, rangeEnd: rangeEnds }), { maxLength: 2 }),
    success: fc.array(tie("op"), { maxLength: 3, depthIdentifier: "txn" }),
    failure: fc.array(tie("op"), { maxLength: 3, depthIdentifier: "txn" }),
  }),
}));

test("a transaction is mapped operation by operation, those of nested ones too", () => {
  fc.assert(
    fc.property(prefixes, txn, (prefix, request) => {
      const namespace = new Namespace(prefix);
      expect(mapped("toMember", namespace, TxnRequestSchema, request)).toEqual(
        create(TxnRequestSchema, expectedTxn(namespace, request)),
      );
    }),
  );
});

/** The same, each operation mapped by itself. */
function expectedTxn(namespace: Namespace, { compare, success, failure }: Txn): Txn {
  return {
    compare: compare.map((comparison) => ({ ...comparison, ...mappedRange(namespace, comparison) })),
    success: success.map((op) => expectedOp(namespace, op)),
    failure: failure.map((op) => expectedOp(namespace, op)),
  };
}

function expectedOp(namespace: Namespace, { request }: Op): Op {
  switch (request?.case) {
    case "requestRange":
      return {
        request: { ...request, value: { ...request.value, ...mappedRange(namespace, request.value) } },
      };
    case "requestDeleteRange":
      return {
        request: { ...request, value: { ...request.value, ...mappedRange(namespace, request.value) } },
      };
    case "requestPut": {
      const { key } = mappedRange(namespace, { key: request.value.key! });
      return { request: { ...request, value: { ...request.value, key } } };
    }
    case "requestTxn":
      return { request: { ...request, value: expectedTxn(namespace, request.value as Txn) } };
    default:
      throw new Error("no operation");
  }
}

function mappedRange(namespace: Namespace, range: { key?: Uint8Array; rangeEnd?: Uint8Array }) {
  const { key, rangeEnd } = mapped("toMember", namespace, RangeRequestSchema, range);
  return { key, rangeEnd };
}

test("any bytes are mapped, or refused as what they are", () => {
  fc.assert(
    fc.property(prefixes, fc.uint8Array({ maxLength: 60 }), (prefix, message) => {
      const namespace = new Namespace(prefix);
      for (const schema of [TxnRequestSchema, RangeRequestSchema, PutResponseSchema]) {
        for (const way of ["toMember", "toClient"] as const) {
          try {
            namespace[way](messageKeysOf(schema)!, message, 0, message.length);
          } catch (error) {
            expect((error as Error).name).toMatch(/^(MalformedMessage|RequestOutsideNamespace)$/);
          }
        }
      }
    }),
  );
});
