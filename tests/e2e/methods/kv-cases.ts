/** KV's methods: every option of theirs that changes an answer, and every error that a client can cause. */
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

const PREFIX = bytes("kv/");
const PREFIX_END = bytes("kv0");

async function startEmpty(side: Side): Promise<void> {
  await side.unary(KV.method.deleteRange, { key: PREFIX, rangeEnd: PREFIX_END });
}

async function put(side: Side, ...keys: readonly string[]): Promise<void> {
  for (const key of keys)
    await side.unary(KV.method.put, { key: bytes(key), value: bytes(`value of ${key}`) });
}

export const kvCases: readonly MethodCase[] = [
  {
    name: "Put answers with the revision, and with the previous pair when asked",
    covers: [KV.method.put],
    async run(side) {
      await side.backstage.unary(KV.method.put, { key: bytes("kv/put"), value: bytes("before") });
      await side.unary(KV.method.put, { key: bytes("kv/put"), value: bytes("after"), prevKv: true });
      await side.unary(KV.method.put, { key: bytes("kv/put"), ignoreValue: true, prevKv: true });
      await side.unary(KV.method.put, { key: bytes("kv/put"), ignoreLease: true, value: bytes("x") });
      await side.backstage.unary(KV.method.deleteRange, { key: bytes("kv/put") });
    },
  },
  {
    name: "Put fails for an empty key, an unknown lease, and options that contradict each other",
    covers: [KV.method.put],
    async run(side) {
      await side.unary(KV.method.put, { value: bytes("no key") });
      await side.unary(KV.method.put, { key: bytes("kv/lease"), lease: 404n });
      await side.unary(KV.method.put, { key: bytes("kv/ignore"), value: bytes("given"), ignoreValue: true });
      await side.unary(KV.method.put, { key: bytes("kv/ignore"), lease: 1n, ignoreLease: true });
      await side.unary(KV.method.put, { key: bytes("kv/absent"), ignoreValue: true });
    },
  },
  {
    name: "Range reads one key, a range, from a key on, and all keys, with every option",
    covers: [KV.method.range],
    async run(side) {
      await startEmpty(side);
      await put(side, "kv/b", "kv/a", "kv/c", "kv/a");
      const all = { key: PREFIX, rangeEnd: PREFIX_END };
      await side.unary(KV.method.range, { key: bytes("kv/a") });
      await side.unary(KV.method.range, { key: bytes("kv/none") });
      await side.unary(KV.method.range, all);
      await side.unary(KV.method.range, { ...all, limit: 2n });
      await side.unary(KV.method.range, { ...all, keysOnly: true });
      await side.unary(KV.method.range, { ...all, countOnly: true });
      await side.unary(KV.method.range, { ...all, serializable: true });
      await side.unary(KV.method.range, { ...all, revision: side.base + 2n });
      await side.unary(KV.method.range, { ...all, minModRevision: side.base + 3n });
      await side.unary(KV.method.range, { ...all, maxCreateRevision: side.base + 2n });
      for (const sortTarget of [RangeRequest_SortTarget.MOD, RangeRequest_SortTarget.VERSION]) {
        await side.unary(KV.method.range, { ...all, sortTarget, sortOrder: RangeRequest_SortOrder.DESCEND });
      }
      await side.unary(KV.method.range, { key: bytes("kv/b"), rangeEnd: new Uint8Array([0]) });
      await side.unary(KV.method.range, {
        key: new Uint8Array([0]),
        rangeEnd: new Uint8Array([0]),
        countOnly: true,
      });
      await startEmpty(side);
    },
  },
  {
    name: "Range fails for an empty key and for a revision of the future",
    covers: [KV.method.range],
    async run(side) {
      await side.unary(KV.method.range, {});
      await side.unary(KV.method.range, { key: PREFIX, revision: side.base + 1_000_000n });
      await side.unary(KV.method.range, {
        key: PREFIX,
        serializable: true,
        revision: side.base + 1_000_000n,
      });
    },
  },
  {
    name: "RangeStream streams a range, or is not implemented by this etcd",
    covers: [KV.method.rangeStream],
    async run(side) {
      await startEmpty(side);
      await put(side, "kv/a", "kv/b");
      await side.serverStream(KV.method.rangeStream, { key: PREFIX, rangeEnd: PREFIX_END }).over();
      await side.serverStream(KV.method.rangeStream, {}).over();
      await startEmpty(side);
    },
  },
  {
    name: "DeleteRange counts what it deletes, and gives it back when asked",
    covers: [KV.method.deleteRange],
    async run(side) {
      await startEmpty(side);
      await put(side, "kv/a", "kv/b", "kv/c");
      await side.unary(KV.method.deleteRange, { key: bytes("kv/b") });
      await side.unary(KV.method.deleteRange, { key: bytes("kv/b") });
      await side.unary(KV.method.deleteRange, { key: PREFIX, rangeEnd: PREFIX_END, prevKv: true });
      await side.unary(KV.method.deleteRange, {});
    },
  },
  {
    name: "Txn compares, branches, nests, and changes everything at one revision",
    covers: [KV.method.txn],
    async run(side) {
      await startEmpty(side);
      await put(side, "kv/a");
      const request = (version: bigint) => ({
        compare: [
          {
            key: bytes("kv/a"),
            target: Compare_CompareTarget.VERSION,
            result: Compare_CompareResult.EQUAL,
            targetUnion: { case: "version" as const, value: version },
          },
        ],
        success: [
          { request: { case: "requestRange" as const, value: { key: bytes("kv/a") } } },
          { request: { case: "requestPut" as const, value: { key: bytes("kv/b"), value: bytes("then") } } },
          {
            request: {
              case: "requestTxn" as const,
              value: {
                success: [
                  {
                    request: {
                      case: "requestDeleteRange" as const,
                      value: { key: bytes("kv/a"), prevKv: true },
                    },
                  },
                ],
              },
            },
          },
        ],
        failure: [
          { request: { case: "requestPut" as const, value: { key: bytes("kv/c"), value: bytes("else") } } },
        ],
      });
      await side.unary(KV.method.txn, request(2n));
      await side.unary(KV.method.txn, request(1n));
      await side.unary(KV.method.txn, {});
      await startEmpty(side);
    },
  },
  {
    name: "Txn fails for a key that is put twice, an empty key, and too many operations",
    covers: [KV.method.txn],
    async run(side) {
      const putOf = (key: string) => ({
        request: { case: "requestPut" as const, value: { key: bytes(key) } },
      });
      await side.unary(KV.method.txn, { success: [putOf("kv/twice"), putOf("kv/twice")] });
      await side.unary(KV.method.txn, { success: [putOf("")] });
      await side.unary(KV.method.txn, { success: Array.from({ length: 129 }, (_, i) => putOf(`kv/${i}`)) });
    },
  },
  {
    name: "Compact drops old revisions: reads and compactions below it fail, and so do those of the future",
    covers: [KV.method.compact],
    async run(side) {
      await startEmpty(side);
      await put(side, "kv/a", "kv/a", "kv/a", "kv/a");
      await side.unary(KV.method.compact, { revision: side.base + 3n, physical: true });
      await side.unary(KV.method.range, { key: bytes("kv/a"), revision: side.base + 1n });
      await side.unary(KV.method.range, { key: bytes("kv/a"), revision: side.base + 3n });
      await side.unary(KV.method.compact, { revision: side.base + 2n });
      await side.unary(KV.method.compact, { revision: side.base + 1_000_000n });
      await startEmpty(side);
    },
  },
];
