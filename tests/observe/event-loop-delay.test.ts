import { expect, test } from "bun:test";
import { EventLoopDelay } from "../../src/observe/event-loop-delay.ts";

/** A clock whose timers fire when it is told, however late that is. */
class LateClock {
  #nowMs = 0;
  #waiting: { dueMs: number; run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    this.#waiting.push({ dueMs: this.#nowMs + delayMs, run });
    return () => {};
  }

  get timers(): number {
    return this.#waiting.length;
  }

  /** Time passes with an idle loop: each timer fires when it is due. */
  idle(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#waiting.sort((one, other) => one.dueMs - other.dueMs);
      if (next === undefined || next.dueMs > endMs) break;
      this.#waiting.shift();
      this.#nowMs = next.dueMs;
      next.run();
    }
    this.#nowMs = endMs;
  }

  /** The loop is held up for `ms`: what is due meanwhile fires behind that. */
  busy(ms: number): void {
    this.#nowMs += ms;
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= this.#nowMs);
    this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > this.#nowMs);
    for (const { run } of due) run();
  }
}

test("an idle loop has no delay", () => {
  const clock = new LateClock();
  const delay = new EventLoopDelay(clock);
  expect(delay.seconds()).toBe(0);
  clock.idle(20_000);
  expect(delay.seconds()).toBe(0);
});

test("the longest delay is told for 15 to 30 seconds", () => {
  const clock = new LateClock();
  const delay = new EventLoopDelay(clock);
  delay.seconds();
  clock.idle(1000);
  clock.busy(400);
  clock.idle(100);
  clock.busy(250);
  expect(delay.seconds()).toBe(0.3);
  clock.idle(15_000);
  expect(delay.seconds()).toBe(0.3);
  clock.idle(15_000);
  expect(delay.seconds()).toBe(0);
});

test("nothing is measured before somebody asks, nor long after", () => {
  const clock = new LateClock();
  const delay = new EventLoopDelay(clock);
  expect(clock.timers).toBe(0);
  delay.seconds();
  expect(clock.timers).toBe(1);
  clock.busy(500);
  clock.idle(130_000);
  expect(clock.timers).toBe(0);
  expect(delay.seconds()).toBe(0);
  expect(clock.timers).toBe(1);
});
