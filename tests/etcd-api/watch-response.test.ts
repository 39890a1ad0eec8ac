import { describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  keyOf,
  MalformedMessage,
  readHeader,
  type WatchEvent,
  WatchResponseReader,
} from "../../src/etcd/watch-response.ts";
import { ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { EventSchema, Event_EventType } from "../../src/gen/mvccpb/kv_pb.ts";

type Init = MessageInitShape<typeof WatchResponseSchema>;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const header = { clusterId: 2n ** 64n - 1n, memberId: 7n, revision: 1000n, raftTerm: 3n };

function encoded(response: Init): Uint8Array {
  return toBinary(WatchResponseSchema, create(WatchResponseSchema, response));
}

function read(bytes: Uint8Array, reader = new WatchResponseReader()): WatchResponseReader {
  reader.read(bytes, 0, bytes.length);
  return reader;
}

/** The field with this tag and payload. */
function field(tag: number, ...payload: number[]): Uint8Array {
  return Uint8Array.of(tag, payload.length, ...payload);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

describe("a reader of watch responses", () => {
  test("reads what is no event", () => {
    const reader = read(
      encoded({
        header,
        watchId: 5n,
        created: true,
        canceled: true,
        compactRevision: 1234n,
        cancelReason: "etcdserver: größer",
        fragment: true,
      }),
    );
    expect(reader).toMatchObject({
      watchId: 5,
      created: true,
      canceled: true,
      compactRevision: 1234,
      cancelReason: "etcdserver: größer",
      fragment: true,
      events: [],
    });
    expect(reader.header.revision).toBe(1000);
  });

  test("reads -1, and every safe integer exactly", () => {
    const numbers = [-1, 1, 127, 128, 2 ** 28, 2 ** 31, 2 ** 32, 2 ** 42, 2 ** 53 - 1, -(2 ** 53 - 1), -128];
    const reader = new WatchResponseReader();
    const results = numbers.map((number) => {
      const { watchId, compactRevision } = read(
        encoded({ watchId: BigInt(number), compactRevision: BigInt(number) }),
        reader,
      );
      return [watchId, compactRevision];
    });
    expect(results).toEqual(numbers.map((number) => [number, number]));
  });

  test("keeps nothing of the response before", () => {
    const reader = read(
      encoded({ header, watchId: 5n, created: true, canceled: true, compactRevision: 9n, cancelReason: "x" }),
    );
    const { events } = read(encoded({ fragment: true, events: [{}] }), reader);
    read(new Uint8Array(0), reader);
    expect(reader).toMatchObject(new WatchResponseReader());
    expect(events).toHaveLength(1);
  });

  test("reads a response that lies inside other bytes", () => {
    const bytes = encoded({ header, events: [{ kv: { key: utf8("k"), modRevision: 9n } }] });
    const around = joined(Uint8Array.of(0xff, 0xff), bytes, Uint8Array.of(0xff));
    const reader = new WatchResponseReader();
    reader.read(around, 2, 2 + bytes.length);
    expect(keyOf(around, reader.events[0]!)).toBe("k");
    expect(reader.header.revision).toBe(1000);
  });
});

describe("an event", () => {
  const bytes = encoded({
    events: [
      { kv: { key: Uint8Array.of(0, 0xff, 0x6b), modRevision: 2n ** 40n, value: utf8("v") } },
      {
        type: Event_EventType.DELETE,
        kv: { key: utf8("gone"), modRevision: 8n },
        prevKv: { key: utf8("gone") },
      },
    ],
  });
  const [put, deletion] = read(bytes).events as [WatchEvent, WatchEvent];

  test("tells its revision, whether it is a delete, and its key byte for byte", () => {
    expect([put.revision, put.isDelete, keyOf(bytes, put)]).toEqual([2 ** 40, false, "\0\xffk"]);
    expect([deletion.revision, deletion.isDelete, keyOf(bytes, deletion)]).toEqual([8, true, "gone"]);
  });

  test("is found where it lies", () => {
    const event = fromBinary(EventSchema, bytes.slice(put.start, put.end));
    expect(event.kv?.value).toEqual(utf8("v"));
  });

  test("tells where its prev_kv lies, tag and length included", () => {
    expect(put.prevKvStart).toBe(put.prevKvEnd);
    const cut = bytes.slice(deletion.prevKvStart, deletion.prevKvEnd);
    expect(cut).toStrictEqual<Uint8Array>(field(0x1a, 0x0a, 4, ...utf8("gone")));
  });

  test("without a key has an empty one", () => {
    const bytes = encoded({ events: [{}] });
    const event = read(bytes).events[0]!;
    expect([keyOf(bytes, event), event.revision, event.isDelete]).toEqual(["", 0, false]);
  });

  test("counts as protobuf merges it when its kv is repeated", () => {
    const bytes = field(0x5a, ...field(0x12, ...field(0x0a, 0x61), 0x18, 5), ...field(0x12, 0x18, 6));
    const event = read(bytes).events[0]!;
    expect([keyOf(bytes, event), event.revision]).toEqual(["a", 6]);
  });

  test("may have several prev_kv side by side, which are one then", () => {
    const bytes = field(0x5a, ...field(0x1a, 0x18, 5), ...field(0x1a, 0x18, 6), 0x08, 1);
    expect(read(bytes).events[0]).toMatchObject({ prevKvStart: 2, prevKvEnd: 10 });
  });

  test("is refused with prev_kv in two places", () => {
    const bytes = field(0x5a, ...field(0x1a, 0x18, 5), 0x08, 1, ...field(0x1a, 0x18, 6));
    expect(() => read(bytes)).toThrow(MalformedMessage);
  });
});

describe("a header", () => {
  const bytes = toBinary(ResponseHeaderSchema, create(ResponseHeaderSchema, header));

  test("is told apart into its revision and the rest", () => {
    const { identity, revision } = readHeader(bytes, 0, bytes.length);
    expect(revision).toBe(1000);
    expect(fromBinary(ResponseHeaderSchema, identity)).toMatchObject({ ...header, revision: 0n });
  });

  test("does not change with the bytes that it was read from", () => {
    const own = bytes.slice();
    const { identity } = readHeader(own, 0, own.length);
    own.fill(0);
    expect(fromBinary(ResponseHeaderSchema, identity).raftTerm).toBe(3n);
  });

  test("shares its identity with the one before that differs in nothing but the revision", () => {
    const reader = new WatchResponseReader();
    const { identity } = read(encoded({ header }), reader).header;
    const next = read(encoded({ header: { ...header, revision: 10n ** 12n } }), reader).header;
    expect(next.identity).toBe(identity);
    expect(next.revision).toBe(10 ** 12);
  });

  test.each([
    ["another term", { ...header, raftTerm: 4n }],
    ["a longer term", { ...header, raftTerm: 300n }],
    ["fewer fields", { clusterId: header.clusterId, memberId: 7n }],
    ["another member", { ...header, memberId: 8n }],
  ])("has an identity of its own with %s", (_, other) => {
    const reader = new WatchResponseReader();
    const { identity } = read(encoded({ header }), reader).header;
    const next = read(encoded({ header: other }), reader).header;
    expect(fromBinary(ResponseHeaderSchema, next.identity)).toMatchObject({ ...other, revision: 0n });
    expect(fromBinary(ResponseHeaderSchema, identity)).toMatchObject({ ...header, revision: 0n });
  });

  test("may be missing", () => {
    expect(read(encoded({ created: true })).header).toMatchObject({ revision: 0, identity: { length: 0 } });
  });
});

describe("fields that are not known", () => {
  const unknown = joined(
    Uint8Array.of(0x78, 0x80, 0x01), // 15, varint
    Uint8Array.of(0x79, 1, 2, 3, 4, 5, 6, 7, 8), // 15, 64 bits
    Uint8Array.of(0x7d, 1, 2, 3, 4), // 15, 32 bits
    field(0x7a, 0xff, 0xff), // 15, two bytes
    Uint8Array.of(0x80, 0x80, 0x01, 0), // 2048, varint
  );

  test("are skipped in every message", () => {
    const kv = field(0x12, ...unknown, ...field(0x0a, 0x61), ...unknown, 0x18, 9);
    const header = field(0x0a, ...unknown, 0x18, 7);
    const reader = new WatchResponseReader();
    const bytes = joined(unknown, field(0x5a, ...unknown, ...kv), header, unknown, Uint8Array.of(0x10, 3));
    read(bytes, reader);
    expect(reader).toMatchObject({ watchId: 3, header: { revision: 7 }, events: [{ revision: 9 }] });
    expect(keyOf(bytes, reader.events[0]!)).toBe("a");
  });

  test("of a header belong to its identity", () => {
    const { identity } = readHeader(joined(unknown, Uint8Array.of(0x18, 7)), 0, unknown.length + 2);
    expect(identity).toEqual(unknown);
  });

  test("include known ones of another type", () => {
    // watch_id as bytes, cancel_reason as a number.
    expect(read(joined(field(0x12, 1, 2), Uint8Array.of(0x30, 5, 0x20, 1)))).toMatchObject({
      watchId: 0,
      cancelReason: "",
      canceled: true,
    });
  });
});

describe("a broken response", () => {
  test.each([
    ["ends inside a tag", [0x80]],
    ["ends behind a tag", [0x10]],
    ["ends inside a number", [0x10, 0x80]],
    ["has a number of eleven bytes", [0x10, ...new Uint8Array(10).fill(0x80), 0]],
    ["has a field number of 0", [0x00, 0x00]],
    ["has a tag of more than 32 bits", [0x80, 0x80, 0x80, 0x80, 0x10, 0]],
    ["has a string that is longer than the rest", [0x32, 2, 0x61]],
    ["has a fixed field that is cut short", [0x79, 1, 2, 3]],
    ["has a group without an end", [0x7b]],
    ["has the end of a group that has not begun", [0x7c]],
    ["has a wire type that is none", [0x7e]],
    ["has an event that is longer than the rest", [0x5a, 9, 0x08, 1]],
    ["has a number that leaves its event", [0x5a, 2, 0x08, 0x80, 0x01]],
    ["has a key that leaves its kv", [0x5a, 5, 0x12, 2, 0x0a, 1, 0x61]],
    ["has a field that leaves its header", [0x0a, 1, 0x18, 7]],
  ])("is refused when it %s", (_, octets) => {
    expect(() => read(Uint8Array.from(octets))).toThrow(MalformedMessage);
  });

  test("is not read backwards by a negative length", () => {
    const bytes = Uint8Array.of(0x32, ...new Uint8Array(9).fill(0xff), 1);
    expect(() => read(bytes)).toThrow("a field of -1 bytes");
  });

  test("does no harm to the next one", () => {
    const reader = new WatchResponseReader();
    expect(() => read(Uint8Array.of(0x10, 4, 0x0a, 9), reader)).toThrow(MalformedMessage);
    expect(read(encoded({ created: true }), reader)).toMatchObject({ created: true, watchId: 0 });
  });
});
