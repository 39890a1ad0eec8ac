import { describe, expect, test } from "bun:test";
import { DeadlineEntry, DeadlineTimer, DeadlineWheel, TICK_MS } from "../../src/base/deadline-wheel.ts";
import { waitFor } from "../harness/wait-for.ts";

class Entry extends DeadlineEntry {
  readonly deadlineMs: number;
  fired = 0;
  readonly #whenFired: () => void;

  constructor(deadlineMs: number, whenFired: () => void = () => {}) {
    super();
    this.deadlineMs = deadlineMs;
    this.#whenFired = whenFired;
  }

  override onDeadline(): void {
    this.fired++;
    this.#whenFired();
  }
}

function wheelWith(...deadlinesMs: number[]): { wheel: DeadlineWheel; entries: Entry[] } {
  const wheel = new DeadlineWheel(0);
  const entries = deadlinesMs.map((deadlineMs) => new Entry(deadlineMs));
  for (const entry of entries) wheel.add(entry);
  return { wheel, entries };
}

describe("a deadline", () => {
  test("never fires early and at most one tick late", () => {
    const { wheel, entries } = wheelWith(100);
    wheel.advance(99);
    expect(entries[0]!.fired).toBe(0);
    wheel.advance(100 + TICK_MS);
    expect(entries[0]!.fired).toBe(1);
  });

  test("fires at most one tick late where ticks are longer, a round of which reaches farther", () => {
    const wheel = new DeadlineWheel(0, 250);
    const entry = new Entry(100_001);
    wheel.add(entry);
    for (let nowMs = 0; nowMs <= 100_000; nowMs += 50) wheel.advance(nowMs);
    expect(entry.fired).toBe(0);
    wheel.advance(100_250);
    expect(entry.fired).toBe(1);
  });

  test("fires once", () => {
    const { wheel, entries } = wheelWith(10);
    for (let nowMs = 0; nowMs < 100_000; nowMs += 100) wheel.advance(nowMs);
    expect([entries[0]!.fired, wheel.size]).toEqual([1, 0]);
  });

  test("that has passed already fires with the next tick", () => {
    const { wheel, entries } = wheelWith(-500);
    wheel.advance(TICK_MS);
    expect(entries[0]!.fired).toBe(1);
  });

  test("farther away than one round of the wheel waits for its round", () => {
    const farMs = 3 * 512 * TICK_MS + 5;
    const { wheel, entries } = wheelWith(farMs);
    for (let nowMs = 0; nowMs < farMs; nowMs += TICK_MS) wheel.advance(nowMs);
    expect(entries[0]!.fired).toBe(0);
    wheel.advance(farMs + TICK_MS);
    expect(entries[0]!.fired).toBe(1);
  });

  test("is not missed over a pause longer than a round", () => {
    const { wheel, entries } = wheelWith(50, 5000, 20_000);
    wheel.advance(1_000_000);
    expect(entries.map(({ fired }) => fired)).toEqual([1, 1, 1]);
  });
});

describe("an entry that leaves", () => {
  test("does not fire", () => {
    const { wheel, entries } = wheelWith(50, 50, 50);
    wheel.remove(entries[1]!);
    expect(wheel.size).toBe(2);
    wheel.advance(1000);
    expect(entries.map(({ fired }) => fired)).toEqual([1, 0, 1]);
  });

  test("twice, or never having been in, changes nothing", () => {
    const { wheel, entries } = wheelWith(50, 60);
    wheel.remove(entries[0]!);
    wheel.remove(entries[0]!);
    wheel.remove(new Entry(10));
    expect(wheel.size).toBe(1);
  });

  test("may join again", () => {
    const { wheel, entries } = wheelWith(50);
    wheel.advance(1000);
    wheel.add(entries[0]!);
    wheel.advance(2000);
    expect(entries[0]!.fired).toBe(2);
  });

  test("while deadlines fire does not disturb the others", () => {
    const wheel = new DeadlineWheel(0);
    const other = new Entry(5000);
    const first = new Entry(50, () => wheel.remove(other));
    const joining = new Entry(5000);
    const second = new Entry(50, () => wheel.add(joining));
    for (const entry of [other, first, second]) wheel.add(entry);
    wheel.advance(100);
    wheel.advance(6000);
    expect([other, first, second, joining].map(({ fired }) => fired)).toEqual([0, 1, 1, 1]);
  });
});

describe("the wheel on the real clock", () => {
  test("fires what is due, and not before", async () => {
    const timer = new DeadlineTimer();
    const deadlineMs = performance.now() + 30;
    let firedMs = 0;
    timer.add(new Entry(deadlineMs, () => (firedMs = performance.now())));
    await waitFor("the deadline", () => firedMs > 0);
    expect(firedMs).toBeGreaterThanOrEqual(deadlineMs);
  });

  test("goes on after it has been empty", async () => {
    const timer = new DeadlineTimer();
    const first = new Entry(performance.now() + 1);
    timer.add(first);
    await waitFor("the first deadline", () => first.fired === 1);
    const second = new Entry(performance.now() + 1);
    timer.add(second);
    await waitFor("the second deadline", () => second.fired === 1);
  });

  test("takes an endless deadline for none", () => {
    const timer = new DeadlineTimer();
    const endless = new Entry(Number.POSITIVE_INFINITY);
    timer.add(endless);
    timer.remove(endless);
    expect(endless.wheelNext).toBeNull();
  });
});
