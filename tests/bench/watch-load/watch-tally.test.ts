import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { EventSchema } from "../../../src/gen/mvccpb/kv_pb.ts";
import { Arrivals } from "./arrivals.ts";
import { STAMP_BYTES, writeStamp } from "./put-stamp.ts";
import { WatchTally } from "./watch-tally.ts";

type WatchResponse = MessageInitShape<typeof WatchResponseSchema>;

const NOW = 5_000;

/** A put's event at `revision`, sent 100 µs before `NOW`. */
function putEvent(revision: number): MessageInitShape<typeof EventSchema> {
  const value = new Uint8Array(16);
  writeStamp(value, value.length, NOW - 100);
  const key = new TextEncoder().encode("bench/key");
  const kv = { key, createRevision: 300n, modRevision: BigInt(revision), version: 1n, value };
  return { kv };
}

const header = { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 2n ** 31n - 1n, raftTerm: 2n };

function tallyOf(watches: number): { readonly arrivals: Arrivals; readonly tally: WatchTally } {
  const arrivals = new Arrivals();
  return { arrivals, tally: new WatchTally(watches, arrivals) };
}

function read(tally: WatchTally, ...responses: readonly WatchResponse[]): void {
  for (const response of responses) {
    const message = toBinary(
      WatchResponseSchema,
      create(WatchResponseSchema, { header, ...response } as WatchResponse),
    );
    // Somewhere within a frame.
    const frame = Buffer.concat([Buffer.alloc(9), message, Buffer.alloc(9)]);
    tally.read(frame, 9, 9 + message.length, NOW);
  }
}

describe("a tally", () => {
  test("counts the events of each watch, with the sum of their revisions", () => {
    const { arrivals, tally } = tallyOf(300);
    read(
      tally,
      { watchId: 0n, events: [putEvent(400)] },
      { watchId: 299n, events: [putEvent(400), putEvent(2 ** 31 - 1)] },
      { watchId: 0n, events: [putEvent(401)] },
    );
    expect([tally.counts[0], tally.counts[299], tally.counts[1]]).toEqual([2, 2, 0]);
    expect([tally.revisionSums[0], tally.revisionSums[299]]).toEqual([801, 400 + 2 ** 31 - 1]);
    expect(arrivals.events).toBe(4);
  });

  test("counts how long after its put each event came", () => {
    const { arrivals, tally } = tallyOf(1);
    read(tally, { events: [putEvent(400), putEvent(401)] });
    expect(arrivals.latencies.total).toBe(2);
    expect(arrivals.latencies.quantile(0.5)).toBe(100);
  });

  test("counts created watches, and no event for a progress notification", () => {
    const { arrivals, tally } = tallyOf(2);
    read(tally, { watchId: 0n, created: true }, { watchId: 1n, created: true }, { watchId: 1n });
    expect([tally.created, arrivals.created, arrivals.events]).toEqual([2, 2, 0]);
  });

  test("finds the watch wherever in the message it is named", () => {
    const { tally } = tallyOf(2);
    const events = create(WatchResponseSchema, { events: [putEvent(400)] });
    const message = Buffer.concat([toBinary(WatchResponseSchema, events), Uint8Array.of(0x10, 1)]);
    tally.read(message, 0, message.length, NOW);
    expect([...tally.counts]).toEqual([0, 1]);
  });

  test("goes on where each watch is after it was reset", () => {
    const { arrivals, tally } = tallyOf(1);
    read(tally, { events: [putEvent(400)] });
    tally.reset();
    arrivals.resetEvents();
    read(tally, { events: [putEvent(401)] });
    expect([tally.counts[0], tally.revisionSums[0], arrivals.events]).toEqual([1, 401, 1]);
    expect(() => read(tally, { events: [putEvent(401)] })).toThrow("revision 401 after 401");
  });
});

describe("a tally refuses", () => {
  test.each<[string, readonly WatchResponse[], string]>([
    ["an event told twice", [{ events: [putEvent(400)] }, { events: [putEvent(400)] }], "400 after 400"],
    ["an event out of order", [{ events: [putEvent(401), putEvent(400)] }], "400 after 401"],
    ["a watch that was not asked for", [{ watchId: 3n, events: [putEvent(400)] }], "a watch 3"],
    ["a canceled watch", [{ canceled: true }], "canceled"],
    ["an event from before its put", [{ events: [{ kv: { ...stampedLater() } }] }], "no duration"],
  ])("%s", (_what, responses, reason) => {
    const { tally } = tallyOf(3);
    expect(() => read(tally, ...responses)).toThrow(reason);
  });
});

function stampedLater(): { key: Uint8Array; createRevision: bigint; modRevision: bigint; value: Uint8Array } {
  const value = new Uint8Array(STAMP_BYTES);
  writeStamp(value, value.length, NOW + 1);
  return { key: Uint8Array.of(1), createRevision: 1n, modRevision: 1n, value };
}
