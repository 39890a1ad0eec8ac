/** WatchRequests as clients may write them, against Protobuf-ES. */
import { describe, expect, test } from "bun:test";
import { type MessageInitShape, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { MalformedMessage } from "../../../src/etcd/protobuf-cursor.ts";
import {
  type WatchCreateRequest_FilterType,
  type WatchRequest,
  WatchRequestSchema,
} from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { type ClientRequest, readClientRequest } from "../../../src/proxy/watch/client-request.ts";
import { watchOptions } from "../../../src/proxy/watch/subscriber.ts";
import { runs } from "../../properties/runs.ts";

fc.configureGlobal({ numRuns: runs(200) });

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Reads `bytes` from the middle of other ones. */
function read(bytes: Uint8Array): ClientRequest {
  const around = new Uint8Array(bytes.length + 20).fill(0xff);
  around.set(bytes, 10);
  return readClientRequest(around, 10, 10 + bytes.length);
}

function encoded(request: MessageInitShape<typeof WatchRequestSchema>): Uint8Array {
  return toBinary(WatchRequestSchema, create(WatchRequestSchema, request));
}

/** What etcd makes of a request that Protobuf-ES has read. */
function meaning({ requestUnion }: WatchRequest): unknown {
  switch (requestUnion.case) {
    case "createRequest": {
      const { key, rangeEnd, startRevision, watchId, prevKv, fragment, progressNotify, filters } =
        requestUnion.value;
      const range = KeyRange.of(key, rangeEnd);
      return {
        kind: "create",
        range,
        checkedRange: range ?? KeyRange.of(key, new Uint8Array(0)),
        startRevision: Number(startRevision),
        watchId: numberIfExact(watchId),
        options: watchOptions(prevKv, filters.includes(0), filters.includes(1), fragment, progressNotify),
      };
    }
    case "cancelRequest":
      return { kind: "cancel", watchId: numberIfExact(requestUnion.value.watchId) };
    case "progressRequest":
      return { kind: "progress" };
    case undefined:
      return { kind: "nothing" };
  }
}

function numberIfExact(id: bigint): number | bigint {
  return Number.isSafeInteger(Number(id)) ? Number(id) : id;
}

const anyInt64 = fc.oneof(
  fc.bigInt({ min: INT64_MIN, max: INT64_MAX }),
  fc.bigInt({ min: -2n, max: 300n }),
  fc.constantFrom(INT64_MIN, INT64_MAX, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n)),
);
const filter = fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: -3, max: 300 }));

type Field = fc.Arbitrary<Uint8Array>;

const int64 = (number: number, values = anyInt64): Field =>
  values.map((value) => new BinaryWriter().tag(number, WireType.Varint).int64(value).finish());
const flag = (number: number): Field => int64(number, fc.bigInt({ min: 0n, max: 300n }));
const payload = (number: number, values: fc.Arbitrary<Uint8Array>): Field =>
  values.map((value) => new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(value).finish());
const unknown: Field = fc.integer({ min: 100, max: 2 ** 29 - 1 }).chain((number) =>
  fc.oneof(
    int64(number),
    payload(number, fc.uint8Array({ maxLength: 20 })),
    fc.nat().map((value) => new BinaryWriter().tag(number, WireType.Bit32).fixed32(value).finish()),
    anyInt64.map((value) => new BinaryWriter().tag(number, WireType.Bit64).sfixed64(value).finish()),
  ),
);
/** Any of these fields, in any order and any number, with unknown ones between them. */
const anyOf = (...fields: readonly Field[]): Field =>
  fc.array(fc.oneof(...fields, unknown), { maxLength: 10 }).map((all) => new Uint8Array(Buffer.concat(all)));

const keys = fc.uint8Array({ maxLength: 3, max: 3 });
const packedFilters = fc.array(filter, { maxLength: 4 }).map((filters) => {
  const writer = new BinaryWriter();
  for (const value of filters) writer.int32(value);
  return writer.finish();
});
const createFields = anyOf(
  payload(1, keys),
  payload(2, keys),
  int64(3),
  flag(4),
  int64(5, filter.map(BigInt)),
  payload(5, packedFilters),
  flag(6),
  int64(7),
  flag(8),
);
const unionField = fc.oneof(
  payload(1, createFields),
  payload(2, anyOf(int64(1))),
  payload(3, anyOf(int64(1))),
);

describe("a client's request", () => {
  test("is read as Protobuf-ES reads it, whatever its fields and their order", () => {
    fc.assert(
      fc.property(unionField, fc.array(unknown), fc.array(unknown), (field, before, behind) => {
        const bytes = new Uint8Array(Buffer.concat([...before, field, ...behind]));
        expect(read(bytes)).toEqual(meaning(fromBinary(WatchRequestSchema, bytes)) as ClientRequest);
      }),
    );
  });

  test("is the last one of several", () => {
    fc.assert(
      fc.property(fc.array(unionField, { minLength: 1, maxLength: 4 }), (fields) => {
        // Read alone: Protobuf-ES merges two of a kind, etcd replaces the first by the second.
        const last = fromBinary(WatchRequestSchema, fields.at(-1)!);
        expect(read(new Uint8Array(Buffer.concat(fields)))).toEqual(meaning(last) as ClientRequest);
      }),
    );
  });

  test("that is empty, or of a newer client, asks for nothing", () => {
    expect(read(new Uint8Array(0))).toEqual({ kind: "nothing" });
    fc.assert(fc.property(unknown, (bytes) => expect(read(bytes)).toEqual({ kind: "nothing" })));
  });

  test("that says nothing of the watch creates one on the smallest key, from now on", () => {
    expect(read(encoded({ requestUnion: { case: "createRequest", value: {} } }))).toEqual({
      kind: "create",
      range: KeyRange.of(new Uint8Array(0), new Uint8Array(0)),
      checkedRange: KeyRange.of(new Uint8Array(0), new Uint8Array(0))!,
      startRevision: 0,
      watchId: 0,
      options: watchOptions(false, false, false, false, false),
    });
  });

  test("for a range without keys is checked by its first key", () => {
    const value = { key: Buffer.from("b"), rangeEnd: Buffer.from("a") };
    const request = read(encoded({ requestUnion: { case: "createRequest", value } }));
    expect(request).toMatchObject({
      range: null,
      checkedRange: KeyRange.of(Buffer.from("b"), new Uint8Array(0))!,
    });
  });

  test.each([INT64_MIN, INT64_MAX, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n])(
    "names the watch %d exactly",
    (watchId) => {
      const canceled = encoded({ requestUnion: { case: "cancelRequest", value: { watchId } } });
      const created = encoded({ requestUnion: { case: "createRequest", value: { watchId } } });
      expect(read(canceled)).toEqual({ kind: "cancel", watchId });
      expect(read(created)).toMatchObject({ kind: "create", watchId });
    },
  );

  test.each([0n, 1n, -1n, 2n ** 53n - 1n, -(2n ** 53n) + 1n])("names the watch %d by a number", (watchId) => {
    const request = encoded({ requestUnion: { case: "cancelRequest", value: { watchId } } });
    expect(read(request)).toEqual({ kind: "cancel", watchId: Number(watchId) });
  });

  test.each(["packed", "one by one"] as const)("has its filters whether they are %s", (how) => {
    const filters: WatchCreateRequest_FilterType[] = [0, 1];
    const written =
      how === "packed"
        ? Buffer.from([0x0a, 0x04, 0x2a, 0x02, ...filters])
        : Buffer.from([0x0a, 0x04, 0x28, filters[0]!, 0x28, filters[1]!]);
    expect(read(written)).toMatchObject({ options: { noPut: true, noDelete: true } });
  });

  test("has a filter by its low 32 bits, as an enum is read", () => {
    // 2^32 and 2^63 + 1: 0 and 1 to etcd.
    const high = [0x80, 0x80, 0x80, 0x80, 0x10, 0x81, ...Array<number>(8).fill(0x80), 0x01];
    expect(read(Buffer.from([0x0a, 0x11, 0x2a, 0x0f, ...high]))).toMatchObject({
      options: { noPut: true, noDelete: true },
    });
  });

  test("passes over groups that it does not know", () => {
    const created = encoded({ requestUnion: { case: "createRequest", value: { prevKv: true } } });
    const group = Buffer.from([0x7b, 0x08, 0x01, 0x7b, 0x7c, 0x7c]);
    expect(read(Buffer.concat([group, created, group]))).toEqual(read(created));
  });

  test("passes over filters that it does not know", () => {
    expect(read(Buffer.from([0x0a, 0x04, 0x2a, 0x02, 0x02, 0x07]))).toMatchObject({
      options: { noPut: false, noDelete: false },
    });
  });
});

describe("a request that is cut short", () => {
  test("throws, wherever the cut is", () => {
    fc.assert(
      fc.property(unionField, fc.nat(), (bytes, at) => {
        const cut = 1 + (at % (bytes.length - 1));
        expect(() => read(bytes.subarray(0, cut))).toThrow(MalformedMessage);
      }),
    );
  });
});

describe("garbage", () => {
  test.each([
    ["a field of number 0", [0x00]],
    ["a group without an end", [0x0b]],
    ["a progress request that is none", [0x1a, 0x01, 0x08]],
    ["a create request longer than the message", [0x0a, 0x05, 0x0a, 0x00]],
    ["a key longer than its request", [0x0a, 0x02, 0x0a, 0x05, 1, 2, 3, 4, 5]],
    ["packed filters longer than their request", [0x0a, 0x02, 0x2a, 0x05, 0, 0, 0, 0, 0]],
    ["a filter without a value", [0x0a, 0x01, 0x28]],
    ["a watch id of eleven bytes", [0x12, 0x0c, 0x08, ...Array<number>(10).fill(0x80), 0x01]],
    ["a broken request before a good one", [0x12, 0x01, 0x08, 0x1a, 0x00]],
  ])("throws when it is %s", (_what, bytes) => {
    expect(() => read(Uint8Array.from(bytes))).toThrow(MalformedMessage);
  });

  test("throws what can be told to the client, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedMessage);
        }
      }),
    );
  });
});
