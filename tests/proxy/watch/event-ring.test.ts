import { describe, expect, test } from "bun:test";
import type { WatchEvent } from "../../../src/etcd/watch-response.ts";
import { EventBatch } from "../../../src/proxy/watch/event-batch.ts";
import { EventRing } from "../../../src/proxy/watch/event-ring.ts";

const HEADER = { identity: new Uint8Array(0), revision: 0 };

/** A batch with one event for each revision; everything up to `toldRevision` is told. */
function batch(revisions: readonly number[], toldRevision = revisions.at(-1)!): EventBatch {
  const events = revisions.map((revision) => ({ revision }) as WatchEvent);
  return new EventBatch(HEADER, new Uint8Array(1000), events, toldRevision);
}

function ringOf(firstRevision: number, ...batches: readonly EventBatch[]): EventRing {
  const ring = new EventRing(firstRevision);
  for (const each of batches) ring.push(each);
  return ring;
}

describe("a ring of events", () => {
  test("that is new holds everything from its first revision up to there", () => {
    const ring = ringOf(7);
    expect([ring.floorRevision, ring.nextRevision, ring.heldBytes]).toEqual([7, 7, 0]);
    expect(ring.from(7)).toEqual([]);
  });

  test("reaches behind what its newest batch tells, which may be more than its last event", () => {
    expect(ringOf(7, batch([8, 9], 12)).nextRevision).toBe(13);
  });

  test("reaches as far as it was proven, and never back", () => {
    const ring = ringOf(7, batch([8]));
    ring.provenTo(20);
    expect(ring.nextRevision).toBe(21);
    ring.provenTo(19);
    expect(ring.nextRevision).toBe(21);
  });

  test("that is cleared holds nothing, and goes on where it was", () => {
    const ring = ringOf(1, batch([2, 3]), batch([4], 6));
    ring.clear();
    expect([ring.heldBytes, ring.floorRevision, ring.nextRevision, ring.from(1)]).toEqual([0, 7, 7, []]);
    const next = batch([8]);
    ring.push(next);
    expect(ring.from(7)).toEqual([next]);
  });

  test("has all batches with anything from a revision on, in order", () => {
    const [first, second, third] = [batch([2, 3]), batch([4], 6), batch([9, 11])];
    const ring = ringOf(1, first, second, third);
    expect(ring.from(1)).toEqual([first, second, third]);
    expect(ring.from(3)).toEqual([first, second, third]);
    expect(ring.from(4)).toEqual([second, third]);
    expect(ring.from(5)).toEqual([third]);
    expect(ring.from(10)).toEqual([third]);
    expect(ring.from(12)).toEqual([]);
  });

  test("forgets its oldest batches beyond a bound, and serves from behind what they told", () => {
    const batches = [batch([2], 5), batch([6]), batch([7])];
    const ring = ringOf(1, ...batches);
    ring.trim(batches[1]!.heldBytes + batches[2]!.heldBytes);
    expect(ring.floorRevision).toBe(6);
    expect(ring.from(0)).toEqual(batches.slice(1));
    expect(ring.heldBytes).toBe(batches[1]!.heldBytes + batches[2]!.heldBytes);
    expect(ring.nextRevision).toBe(8);
  });

  test("forgets nothing within the bound", () => {
    const ring = ringOf(1, batch([2]), batch([3]));
    ring.trim(ring.heldBytes);
    expect([ring.floorRevision, ring.from(0).length]).toEqual([1, 2]);
  });

  test("keeps its newest batch, however large", () => {
    const newest = batch([3]);
    const ring = ringOf(1, batch([2]), newest);
    ring.trim(0);
    expect(ring.from(0)).toEqual([newest]);
    expect(ring.floorRevision).toBe(3);
  });

  test("stays within its bound, and in order, however much passes through it", () => {
    const ring = new EventRing(1);
    const bytesMax = 3 * batch([1]).heldBytes;
    for (let revision = 1; revision <= 1000; revision++) {
      ring.push(batch([revision]));
      ring.trim(bytesMax);
    }
    expect(ring.heldBytes).toBe(bytesMax);
    expect(ring.from(0).map(({ firstRevision }) => firstRevision)).toEqual([998, 999, 1000]);
    expect([ring.floorRevision, ring.nextRevision]).toEqual([998, 1001]);
  });
});
