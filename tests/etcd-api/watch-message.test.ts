import { describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import {
  controlBody,
  eventFieldBytes,
  eventsBody,
  headerField,
  watchMessageBytes,
  writeWatchMessage,
  writeWatchPrefix,
} from "../../src/etcd/watch-message.ts";
import { type AnswerHeader, WatchResponseReader } from "../../src/etcd/watch-response.ts";
import { type WatchResponse, WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import type { EventSchema } from "../../src/gen/mvccpb/kv_pb.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const decoded = (bytes: Uint8Array): WatchResponse => fromBinary(WatchResponseSchema, bytes);

/** cluster_id 1, member_id 2, raft_term 3. */
const header: AnswerHeader = { identity: Uint8Array.of(0x08, 1, 0x10, 2, 0x20, 3), revision: 9 };
const toldHeader = { clusterId: 1n, memberId: 2n, raftTerm: 3n };

/** `events` as they are read from a member's response. */
function picked(events: MessageInitShape<typeof EventSchema>[]) {
  const bytes = toBinary(WatchResponseSchema, create(WatchResponseSchema, { events }));
  const reader = new WatchResponseReader();
  reader.read(bytes, 0, bytes.length);
  return reader.events.map((event) => ({ bytes, event }));
}

function message(watchId: number | bigint, body: Uint8Array): Uint8Array {
  const out = new ByteWriter();
  writeWatchMessage(out, watchId, body);
  return out.toBytes();
}

describe("a watch message", () => {
  const body = controlBody({ header, revision: 7, created: true });

  test("is a length-prefixed message of the watch id and the body", () => {
    const written = message(300, body);
    expect(written.subarray(0, 5)).toEqual(Uint8Array.of(0, 0, 0, 0, 3 + body.length));
    expect(decoded(written.subarray(5))).toMatchObject({ watchId: 300n, created: true, header: toldHeader });
  });

  test("leaves out a watch id of 0", () => {
    expect(message(0, body)).toEqual(Uint8Array.of(0, 0, 0, 0, body.length, ...body));
    expect(message(0n, body)).toEqual(message(0, body));
  });

  test("can be for any int64, of the size that is told before", () => {
    const safe = [1, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35 + 5, 2 ** 53 - 1];
    const numbers = safe.flatMap((number) => [number, -number]);
    const large = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, -(2n ** 53n), 2n ** 56n, 5n, -1n];
    for (const watchId of [...numbers, ...large]) {
      const written = message(watchId, body);
      expect(decoded(written.subarray(5)).watchId).toBe(BigInt(watchId));
      expect(watchMessageBytes(watchId, body.length)).toBe(written.length);
    }
  });

  test("follows what was written before", () => {
    const out = new ByteWriter();
    for (const watchId of [1, 2]) writeWatchMessage(out, watchId, body);
    expect(out.toBytes()).toEqual(new Uint8Array(Buffer.concat([message(1, body), message(2, body)])));
  });

  test("can be begun alone, its body to follow", () => {
    const out = new ByteWriter();
    writeWatchPrefix(out, 300, body.length);
    out.write(body);
    expect(out.toBytes()).toEqual(message(300, body));
  });

  test("tells lengths of four bytes", () => {
    const length = 2 ** 24 + 2 ** 16 + 300;
    expect(message(0, new Uint8Array(length)).subarray(0, 5)).toEqual(Uint8Array.of(0, 1, 1, 1, 44));
  });
});

describe("a body without events", () => {
  test("tells the header with another revision", () => {
    const told = decoded(controlBody({ header, revision: 2 ** 40 }));
    expect(told).toMatchObject({ header: { ...toldHeader, revision: 2n ** 40n } });
    expect(told).toMatchObject({ created: false, canceled: false, fragment: false, events: [] });
  });

  test("tells everything else that it is given", () => {
    const answer = { created: true, canceled: true, cancelReason: "größer", fragment: true };
    const told = decoded(controlBody({ header, revision: 5, compactRevision: 1234, ...answer }));
    expect(told).toMatchObject({ ...answer, compactRevision: 1234n });
  });

  test("leaves out what is at its default, as proto3 does", () => {
    const none = { created: false, canceled: false, compactRevision: 0, cancelReason: "", fragment: false };
    expect(controlBody({ header, revision: 5, ...none })).toEqual(headerField(header, 5));
  });

  test("is a header alone when nothing else is said", () => {
    expect(headerField(header, 5)).toEqual(Uint8Array.of(0x0a, 8, ...header.identity, 0x18, 5));
    expect(headerField(header, 0)).toEqual(Uint8Array.of(0x0a, 6, ...header.identity));
  });
});

describe("a body of events", () => {
  const events = picked([
    { kv: { key: utf8("a"), modRevision: 5n, value: utf8("v".repeat(200)) } },
    { kv: { key: utf8("b"), modRevision: 6n, lease: 3n }, prevKv: { key: utf8("b"), value: utf8("old") } },
  ]);

  test("tells the events in their order", () => {
    const told = decoded(eventsBody(header, 6, events, true, false));
    expect(told.header).toMatchObject({ ...toldHeader, revision: 6n });
    expect(told.fragment).toBe(false);
    expect(told.events).toMatchObject([
      { kv: { key: utf8("a"), modRevision: 5n, value: utf8("v".repeat(200)) } },
      { kv: { key: utf8("b"), lease: 3n }, prevKv: { value: utf8("old") } },
    ]);
  });

  test("leaves out prev_kv when it is not wanted, and nothing else", () => {
    const told = decoded(eventsBody(header, 6, events, false, false));
    expect(told.events[1]).toMatchObject({ kv: { key: utf8("b"), lease: 3n, modRevision: 6n } });
    expect(told.events.map(({ prevKv }) => prevKv)).toEqual([undefined, undefined]);
  });

  test("keeps an event's fields that are not known", () => {
    const event = [0x08, 1, 0x1a, 2, 0x18, 4, 0x78, 9];
    const bytes = Uint8Array.of(0x5a, event.length, ...event);
    const reader = new WatchResponseReader();
    reader.read(bytes, 0, bytes.length);
    const body = eventsBody(header, 0, [{ bytes, event: reader.events[0]! }], false, false);
    expect(body.slice(headerField(header, 0).length)).toEqual(Uint8Array.of(0x5a, 4, 0x08, 1, 0x78, 9));
  });

  test("may be a fragment", () => {
    expect(decoded(eventsBody(header, 6, events, false, true)).fragment).toBe(true);
  });

  test("may be made of events that can be gone through only once", () => {
    expect(eventsBody(header, 6, events.values(), true, false)).toEqual(
      eventsBody(header, 6, events, true, false),
    );
  });

  test("is made of its header and fields of the size that is told before", () => {
    for (const withPrevKv of [true, false]) {
      const fields = events.reduce((size, { event }) => size + eventFieldBytes(event, withPrevKv), 0);
      const body = eventsBody(header, 6, events, withPrevKv, false);
      expect(body.length).toBe(headerField(header, 6).length + fields);
    }
  });
});
