import { expect, test } from "bun:test";
import { BurstGarbage } from "../../src/base/burst-garbage.ts";
import type { Clock } from "../../src/base/clock.ts";

/** A clock that is set by hand, and what it has been asked to run. */
class HandClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }

  endOfTurn(run: () => void): void {
    run();
  }

  endOfNextTurn(run: () => void): void {
    run();
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { run } of due) run();
  }
}

function setUp(): { clock: HandClock; work: (times: number) => void; collections: () => number } {
  const clock = new HandClock();
  let collected = 0;
  const garbage = new BurstGarbage({ clock, burst: 3, collect: () => collected++ });
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) garbage.worked();
  };
  return { clock, work, collections: () => collected };
}

test("garbage of a burst is collected once it has been quiet for a second", () => {
  const { clock, work, collections } = setUp();
  work(3);
  clock.pass(999);
  expect(collections()).toBe(0);
  clock.pass(1);
  expect(collections()).toBe(1);
});

test("work that goes on puts the collection off", () => {
  const { clock, work, collections } = setUp();
  work(3);
  clock.pass(600);
  work(1);
  clock.pass(600);
  expect(collections()).toBe(0);
  clock.pass(400);
  expect(collections()).toBe(1);
});

test("a little work is left to the runtime, and a burst is counted anew after a collection", () => {
  const { clock, work, collections } = setUp();
  work(2);
  clock.pass(5000);
  expect(collections()).toBe(0);
  work(1);
  clock.pass(1000);
  work(2);
  clock.pass(5000);
  expect(collections()).toBe(1);
});
