/** The wheel against a plain list of deadlines: under any joining, leaving and passing of time both fire the same. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { DeadlineEntry, DeadlineWheel, TICK_MS } from "../../src/base/deadline-wheel.ts";
import { runs } from "./runs.ts";

class Entry extends DeadlineEntry {
  readonly deadlineMs: number;
  readonly #fired: Entry[];
  constructor(deadlineMs: number, fired: Entry[]) {
    super();
    this.deadlineMs = deadlineMs;
    this.#fired = fired;
  }
  override onDeadline(): void {
    this.#fired.push(this);
  }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant("join" as const), inMs: fc.integer({ min: -100, max: 30_000 }) }),
  fc.record({ kind: fc.constant("leave" as const), which: fc.nat(50) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.oneof(fc.nat(40), fc.nat(20_000)) }),
);

test("no deadline fires early, twice, after it has left, or later than a tick behind the clock", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(1_000_000), (steps, startMs) => {
      const wheel = new DeadlineWheel(startMs);
      const fired: Entry[] = [];
      let waiting: Entry[] = [];
      let nowMs = startMs;
      for (const each of steps) {
        if (each.kind === "join") {
          const entry = new Entry(nowMs + each.inMs, fired);
          waiting.push(entry);
          wheel.add(entry);
        } else if (each.kind === "leave") {
          const [entry] = waiting.splice(each.which % (waiting.length + 1), 1);
          if (entry !== undefined) wheel.remove(entry);
        } else {
          nowMs += each.ms;
          fired.length = 0;
          wheel.advance(nowMs);
          const now = new Set(fired);
          expect(now.size).toBe(fired.length);
          for (const entry of fired) {
            expect(waiting).toContain(entry);
            expect(entry.deadlineMs).toBeLessThanOrEqual(nowMs);
          }
          waiting = waiting.filter((entry) => !now.has(entry));
        }
        expect(wheel.size).toBe(waiting.length);
      }
      // What the clock has passed by a whole tick is gone after one more look.
      wheel.advance(nowMs + TICK_MS);
      for (const entry of waiting) {
        if (entry.deadlineMs <= nowMs) expect(fired).toContain(entry);
      }
    }),
    { numRuns: runs(300) },
  );
});
