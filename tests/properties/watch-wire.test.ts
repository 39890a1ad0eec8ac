/**
 * WatchResponses as members may write them, with their fields in any order, repeated and mixed with unknown ones,
 * against Protobuf-ES; and those that the proxy writes, read by it.
 */
import { describe, expect, test } from "bun:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import {
  controlBody,
  eventsBody,
  watchMessageBytes,
  writeWatchMessage,
} from "../../src/etcd/watch-message.ts";
import { keyOf, MalformedMessage, WatchResponseReader } from "../../src/etcd/watch-response.ts";
import { ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { type Event, EventSchema } from "../../src/gen/mvccpb/kv_pb.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(200) });

/** An encoded field, tag included. */
type Field = Uint8Array;

const anyInt64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -1n, max: 300n }),
);
/** What a number holds exactly, as all that etcd counts is. */
const safeInt64 = fc.maxSafeInteger().map(BigInt);
const anyBytes = fc.uint8Array({ maxLength: 80 });

function field(number: number, type: WireType, write: (writer: BinaryWriter) => void): Field {
  const writer = new BinaryWriter().tag(number, type);
  write(writer);
  return writer.finish();
}

const varintOf =
  (values: fc.Arbitrary<bigint>) =>
  (number: number): fc.Arbitrary<Field> =>
    values.map((value) => field(number, WireType.Varint, (writer) => writer.int64(value)));
const safe = varintOf(safeInt64);
const flag = varintOf(fc.constantFrom(0n, 1n));
const int64 = varintOf(anyInt64);
const payload = (number: number, values: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Field> =>
  values.map((value) => field(number, WireType.LengthDelimited, (writer) => writer.bytes(value)));
const text = (number: number): fc.Arbitrary<Field> =>
  payload(
    number,
    fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
  );

const unknown: fc.Arbitrary<Field> = fc.integer({ min: 100, max: 2 ** 29 - 1 }).chain((number) =>
  fc.oneof(
    int64(number),
    payload(number, anyBytes),
    fc.nat().map((value) => field(number, WireType.Bit32, (writer) => writer.fixed32(value))),
    anyInt64.map((value) => field(number, WireType.Bit64, (writer) => writer.sfixed64(value))),
  ),
);

/** A message of any of these fields, in any order and any number, with unknown ones between them. */
function anyOf(...fields: readonly fc.Arbitrary<Field>[]): fc.Arbitrary<Uint8Array> {
  return fc
    .array(fc.oneof(...fields, unknown), { maxLength: 8 })
    .map((fields) => new Uint8Array(Buffer.concat(fields)));
}

/** A message of `fields`, those in `once` at most once, mixed. */
function mixed(
  fields: fc.Arbitrary<Field>[],
  once: readonly fc.Arbitrary<Field>[],
): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(
      fc.array(fc.oneof(...fields, unknown), { maxLength: 8 }),
      ...once.map((field) => fc.array(field, { maxLength: 1 })),
    )
    .chain((lists) => {
      const all = lists.flat();
      return fc.shuffledSubarray(all, { minLength: all.length });
    })
    .map((fields) => new Uint8Array(Buffer.concat(fields)));
}

const headers = anyOf(int64(1), int64(2), safe(3), int64(4));
const kvs = anyOf(payload(1, anyBytes), int64(2), safe(3), int64(4), payload(5, anyBytes), int64(6));
const events = mixed([flag(1), payload(2, kvs)], [payload(3, kvs)]);
const responses = mixed(
  [safe(2), flag(3), flag(4), safe(5), text(6), flag(7), payload(11, events)],
  [payload(1, headers)],
);

/** Reads `bytes` from the middle of other ones, which are returned too. */
function read(bytes: Uint8Array, reader = new WatchResponseReader()): [WatchResponseReader, Uint8Array] {
  const around = new Uint8Array(bytes.length + 20).fill(0xff);
  around.set(bytes, 10);
  reader.read(around, 10, 10 + bytes.length);
  return [reader, around];
}

/** The answer's own identity and revision, written again as a header. */
function told({ header }: WatchResponseReader): Uint8Array {
  const { identity, revision } = header;
  const writer = new BinaryWriter().raw(identity).tag(3, WireType.Varint).int64(revision);
  return writer.finish();
}

describe("a reader of watch responses", () => {
  test("reads what Protobuf-ES reads, whatever the order of the fields", () => {
    const reader = new WatchResponseReader();
    fc.assert(
      fc.property(responses, (bytes) => {
        const expected = fromBinary(WatchResponseSchema, bytes);
        const [{ watchId, created, canceled, compactRevision, cancelReason, fragment }] = read(bytes, reader);
        expect({ watchId, created, canceled, compactRevision, cancelReason, fragment }).toEqual({
          watchId: Number(expected.watchId),
          created: expected.created,
          canceled: expected.canceled,
          compactRevision: Number(expected.compactRevision),
          cancelReason: expected.cancelReason,
          fragment: expected.fragment,
        });
      }),
    );
  });

  test("finds the header's revision, and keeps all else of it", () => {
    const reader = new WatchResponseReader();
    fc.assert(
      fc.property(responses, (bytes) => {
        const { header } = fromBinary(WatchResponseSchema, bytes);
        read(bytes, reader);
        const { clusterId, memberId, revision, raftTerm } = fromBinary(ResponseHeaderSchema, told(reader));
        expect([clusterId, memberId, revision, raftTerm]).toEqual([
          header?.clusterId ?? 0n,
          header?.memberId ?? 0n,
          header?.revision ?? 0n,
          header?.raftTerm ?? 0n,
        ]);
      }),
    );
  });

  test("finds each event, its key, revision, type and prev_kv", () => {
    fc.assert(
      fc.property(responses, (bytes) => {
        const expected = fromBinary(WatchResponseSchema, bytes).events;
        const [reader, around] = read(bytes);
        const found = reader.events.map((event) => ({
          whole: fromBinary(EventSchema, around.slice(event.start, event.end)),
          key: keyOf(around, event),
          revision: event.revision,
          isDelete: event.isDelete,
          prevKv: fromBinary(EventSchema, around.slice(event.prevKvStart, event.prevKvEnd)).prevKv,
        }));
        expect(found).toEqual(
          expected.map((event) => ({
            whole: event,
            key: Buffer.from(event.kv?.key ?? []).toString("latin1"),
            revision: Number(event.kv?.modRevision ?? 0n),
            isDelete: event.type === 1,
            prevKv: event.prevKv,
          })),
        );
      }),
    );
  });

  test("refuses any bytes that it cannot read, and never in another way", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc.tuple(responses, fc.nat(), fc.nat(255)).map(([bytes, at, octet]) => {
            if (bytes.length > 0) bytes[at % bytes.length] = octet;
            return bytes;
          }),
        ),
        (bytes) => {
          try {
            const [reader, around] = read(bytes);
            for (const event of reader.events) {
              expect(event.end).toBeLessThanOrEqual(around.length - 10);
              expect(event.keyEnd).toBeLessThanOrEqual(event.end);
              expect(event.prevKvEnd).toBeLessThanOrEqual(event.end);
            }
          } catch (error) {
            if (!(error instanceof MalformedMessage)) throw error;
          }
        },
      ),
    );
  });
});

const identity = fc
  .record({ clusterId: anyInt64, memberId: anyInt64, raftTerm: anyInt64 })
  .map(({ clusterId, memberId, raftTerm }) => {
    const header = fromBinary(ResponseHeaderSchema, new Uint8Array(0));
    Object.assign(header, {
      clusterId: BigInt.asUintN(64, clusterId),
      memberId: BigInt.asUintN(64, memberId),
      raftTerm: BigInt.asUintN(64, raftTerm),
    });
    return toBinary(ResponseHeaderSchema, header);
  });

describe("a watch message", () => {
  test("is read as what was said, for any watch id", () => {
    const answers = fc.record({
      revision: fc.maxSafeInteger(),
      created: fc.boolean(),
      canceled: fc.boolean(),
      compactRevision: fc.maxSafeInteger(),
      cancelReason: fc.string({ unit: "grapheme" }),
      fragment: fc.boolean(),
    });
    const watchIds = fc.oneof(fc.maxSafeInteger(), anyInt64, fc.nat(200));
    fc.assert(
      fc.property(identity, answers, watchIds, (identity, answer, watchId) => {
        const body = controlBody({ header: { identity, revision: 1 }, ...answer });
        const out = new ByteWriter();
        writeWatchMessage(out, watchId, body);
        expect(out.length).toBe(watchMessageBytes(watchId, body.length));
        const said = fromBinary(WatchResponseSchema, out.toBytes().slice(5));
        expect(said).toMatchObject({
          watchId: BigInt(watchId),
          created: answer.created,
          canceled: answer.canceled,
          compactRevision: BigInt(answer.compactRevision),
          cancelReason: answer.cancelReason,
          fragment: answer.fragment,
        });
        expect(said.header).toEqual({
          ...fromBinary(ResponseHeaderSchema, identity),
          revision: BigInt(answer.revision),
        });
      }),
    );
  });

  test("has the events as the member told them, prev_kv only when it is wanted", () => {
    fc.assert(
      fc.property(
        responses,
        identity,
        fc.boolean(),
        fc.boolean(),
        (bytes, identity, withPrevKv, fragment) => {
          const [{ events }, around] = read(bytes);
          const picked = events.map((event) => ({ bytes: around, event }));
          const body = eventsBody({ identity, revision: 1 }, 7, picked, withPrevKv, fragment);
          const said = fromBinary(WatchResponseSchema, body);
          expect([said.header?.revision, said.fragment]).toEqual([7n, fragment]);
          const expected = fromBinary(WatchResponseSchema, bytes).events;
          if (!withPrevKv) for (const event of expected) withoutPrevKv(event);
          expect(said.events).toEqual(expected);
        },
      ),
    );
  });
});

function withoutPrevKv(event: Event): void {
  delete event.prevKv;
}
