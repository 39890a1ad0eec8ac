import { describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { MalformedMessage } from "../../src/etcd/protobuf-cursor.ts";
import {
  keyChangedByPut,
  keysChangedByDeleteRange,
  keysChangedByTxn,
  readsOnly,
} from "../../src/etcd/txn-request.ts";
import {
  type CompareSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  type RequestOp,
  type RequestOpSchema,
  type TxnRequest,
  TxnRequestSchema,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runs } from "../properties/runs.ts";

type Op = MessageInitShape<typeof RequestOpSchema>;
type Compare = MessageInitShape<typeof CompareSchema>;
type Txn = MessageInitShape<typeof TxnRequestSchema>;

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const range = (key = "k"): Op => ({ request: { case: "requestRange", value: { key: bytes(key) } } });
const put = (key: string): Op => ({
  request: { case: "requestPut", value: { key: bytes(key), value: bytes("v") } },
});
const remove = (key: string, rangeEnd = ""): Op => ({
  request: { case: "requestDeleteRange", value: { key: bytes(key), rangeEnd: bytes(rangeEnd) } },
});
const nested = (success: Op[], failure: Op[] = []): Op => ({
  request: { case: "requestTxn", value: { success, failure } },
});

function encoded(txn: Txn): Uint8Array {
  return toBinary(TxnRequestSchema, create(TxnRequestSchema, txn));
}

/** The message in the middle of something else. */
function within<Result>(
  message: Uint8Array,
  read: (bytes: Uint8Array, start: number, end: number) => Result,
): Result {
  const chunk = Buffer.concat([Buffer.alloc(3, 0xff), message, Buffer.alloc(3, 0xff)]);
  return read(chunk, 3, 3 + message.length);
}

const reads = (txn: Txn | Uint8Array): boolean =>
  within(txn instanceof Uint8Array ? txn : encoded(txn), readsOnly);

/** The changed ranges, each as "start-end". */
function changes(txn: Txn | Uint8Array): string[] | null {
  const ranges = within(txn instanceof Uint8Array ? txn : encoded(txn), keysChangedByTxn);
  return ranges?.map(told) ?? null;
}

function told({ start, end, isSingleKey }: KeyRange): string {
  return isSingleKey ? start : `${start}-${end ?? ""}`;
}

/** A transaction in which others lie, `depth` deep in all. */
function deep(depth: number, inner: Op): Txn {
  let ops = [inner];
  for (let level = 1; level < depth; level++) ops = [nested(ops)];
  return { success: ops };
}

describe("a transaction only reads", () => {
  test("when all there is in it are ranges, in both branches and nested", () => {
    expect(reads({ success: [range()] })).toBe(true);
    expect(reads({ success: [range(), range("l")], failure: [range()] })).toBe(true);
    expect(reads({ failure: [nested([range()], [range()])] })).toBe(true);
    expect(reads({ success: [nested([range()]), range()] })).toBe(true);
  });

  test.each<[string, Txn]>([
    ["a put", { success: [range(), put("k")] }],
    ["a deletion, in the other branch", { success: [range()], failure: [remove("k")] }],
    ["a put within another one", { success: [nested([range()], [put("k")])] }],
    ["a compare", { compare: [{ key: bytes("k") }], success: [range()] }],
    [
      "a compare within another one",
      { success: [{ request: { case: "requestTxn", value: { compare: [{}], success: [range()] } } }] },
    ],
    ["an operation without a kind", { success: [range(), {}] }],
    ["nothing", {}],
    ["nothing within another one", { success: [range(), nested([])] }],
  ])("but not with %s", (_, txn) => {
    expect(reads(txn)).toBe(false);
  });

  test("but not with what nobody knows yet: a field, or a kind of operation", () => {
    const known = encoded({ success: [range()] });
    expect(reads(Buffer.concat([known, Uint8Array.of(0x22, 0)]))).toBe(false);
    expect(reads(Buffer.concat([known, Uint8Array.of(0x12, 2, 0x2a, 0)]))).toBe(false);
  });
});

describe("the keys that a transaction may change", () => {
  test("are those of both branches, nested ones included", () => {
    expect(
      changes({
        compare: [{ key: bytes("compared") }],
        success: [put("a"), range("read"), remove("b", "d")],
        failure: [nested([put("e")], [remove("f", "\0")]), put("g")],
      }),
    ).toEqual(["a", "b-d", "e", "f-", "g"]);
  });

  test("are none when it only reads, or does nothing", () => {
    expect(changes({ success: [range()], failure: [nested([range()])] })).toEqual([]);
    expect(changes({})).toEqual([]);
    expect(changes({ success: [{}] })).toEqual([]);
    expect(changes({ success: [remove("m", "k")] })).toEqual([]);
  });

  test("cannot be told with a field or a kind of operation that nobody knows yet", () => {
    const known = encoded({ success: [put("a")] });
    expect(changes(Buffer.concat([known, Uint8Array.of(0x22, 0)]))).toBeNull();
    expect(changes(Buffer.concat([known, Uint8Array.of(0x12, 2, 0x2a, 0)]))).toBeNull();
  });

  test("cannot be told when an operation is of several kinds, which decoders join", () => {
    // Two deletions that are one: the first has the key, the second the end.
    const joined = Uint8Array.of(0x1a, 3, 0x0a, 1, 0x61, 0x1a, 3, 0x12, 1, 0x7a);
    const txn = Buffer.concat([Uint8Array.of(0x12, joined.length), joined]);
    expect(fromBinary(TxnRequestSchema, txn).success).toHaveLength(1);
    expect(changes(txn)).toBeNull();
  });

  test("are all that a decoder finds", () => {
    const keys = fc.constantFrom("", "a", "b", "c\xff", "\0");
    const ops: fc.Arbitrary<Op> = fc.letrec<{ op: Op }>((tie) => {
      const list = fc.array(tie("op"), { maxLength: 3 });
      return {
        op: fc.oneof(
          { maxDepth: 4 },
          keys.map(range),
          keys.map(put),
          fc.tuple(keys, keys).map(([key, end]) => remove(key, end)),
          fc.constant<Op>({}),
          fc.tuple(list, list).map(([success, failure]) => nested(success, failure)),
        ),
      };
    }).op;
    const list = fc.array(ops, { maxLength: 4 });
    const txns = fc.record({
      compare: fc.constantFrom<Compare[]>([], [{ key: bytes("c") }]),
      success: list,
      failure: list,
    });
    fc.assert(
      fc.property(txns, (txn) => {
        const message = encoded(txn);
        const decoded = fromBinary(TxnRequestSchema, message);
        expect(changes(message)).toEqual(changesOf(decoded));
        if (reads(message)) expect(onlyRanges(decoded)).toBe(true);
        else expect(onlyRanges(decoded) && txn.compare.length === 0 && !hasGaps(decoded)).toBe(false);
      }),
      { numRuns: runs(500) },
    );
  });
});

function changesOf({ success, failure }: TxnRequest): string[] {
  return [...success, ...failure].flatMap(({ request }: RequestOp) => {
    if (request.case === "requestTxn") return changesOf(request.value);
    if (request.case !== "requestPut" && request.case !== "requestDeleteRange") return [];
    const end = request.case === "requestPut" ? bytes("") : request.value.rangeEnd;
    const range = KeyRange.of(request.value.key, end);
    return range === null ? [] : [told(range)];
  });
}

function onlyRanges({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(
    ({ request }) =>
      request.case === "requestRange" || (request.case === "requestTxn" && onlyRanges(request.value)),
  );
}

/** Some transaction in it does nothing: those are not shared, since they prove nothing. */
function hasGaps({ success, failure }: TxnRequest): boolean {
  const ops = [...success, ...failure];
  return (
    ops.length === 0 || ops.some(({ request }) => request.case === "requestTxn" && hasGaps(request.value))
  );
}

describe("transactions in transactions", () => {
  test("are followed as far as anybody needs", () => {
    expect(reads(deep(64, range()))).toBe(true);
    expect(changes(deep(64, put("k")))).toEqual(["k"]);
  });

  test("beyond that count as malformed", () => {
    expect(() => reads(deep(65, range()))).toThrow(MalformedMessage);
    expect(() => changes(deep(65, put("k")))).toThrow(MalformedMessage);
  });
});

describe("a malformed transaction", () => {
  test.each([
    ["an operation that is cut short", [0x12, 5, 0x12, 0]],
    ["a put that goes beyond its operation", [0x12, 2, 0x12, 9]],
    ["a key that goes beyond its put", [0x12, 5, 0x12, 3, 0x0a, 9, 0x6b]],
    ["a tag that is cut short", [0x92]],
  ])("throws: %s", (_, message) => {
    expect(() => changes(Uint8Array.from(message))).toThrow(MalformedMessage);
  });
});

describe("a single write", () => {
  const keyOfPut = (message: Uint8Array): string | null => {
    const range = within(message, keyChangedByPut);
    return range === null ? null : told(range);
  };
  const keysOfDeletion = (message: Uint8Array): string | null => {
    const range = within(message, keysChangedByDeleteRange);
    return range === null ? null : told(range);
  };

  test("changes the key of a Put, whatever else it says", () => {
    const request = { key: bytes("k"), value: bytes("v"), lease: 5n, prevKv: true };
    expect(keyOfPut(toBinary(PutRequestSchema, create(PutRequestSchema, request)))).toBe("k");
    expect(keyOfPut(toBinary(PutRequestSchema, create(PutRequestSchema, { value: bytes("v") })))).toBe("\0");
  });

  test.each([
    ["one key", "k", "", "k"],
    ["a range", "k", "m", "k-m"],
    ["all from a key on", "k", "\0", "k-"],
    ["nothing", "m", "k", null],
  ])("changes what a DeleteRange names: %s", (_, key, rangeEnd, expected) => {
    const request = { key: bytes(key), rangeEnd: bytes(rangeEnd), prevKv: true };
    const message = toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, request));
    expect(keysOfDeletion(message)).toBe(expected);
  });

  test("throws when it is malformed", () => {
    expect(() => keyOfPut(Uint8Array.of(0x0a, 2, 0x6b))).toThrow(MalformedMessage);
    expect(() => keysOfDeletion(Uint8Array.of(0x0a, 1, 0x6b, 0x12))).toThrow(MalformedMessage);
  });
});
