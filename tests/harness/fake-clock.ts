/**
 * A clock that stands still until a test moves it: timers and ends of turns run when told, one after another, so a
 * run is the same each time.
 */
import type { Clock } from "../../src/base/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/** Rounds of work at the end of one turn before it counts as endless. */
const ROUNDS_MAX = 1000;

export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #timers: Timer[] = [];
  #atEndOfTurn: (() => void)[] = [];
  #atEndOfNextTurn: (() => void)[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  endOfTurn(run: () => void): void {
    this.#atEndOfTurn.push(run);
  }

  endOfNextTurn(run: () => void): void {
    this.#atEndOfNextTurn.push(run);
  }

  /** Something waits for the end of the next turn. */
  get goesOn(): boolean {
    return this.#atEndOfNextTurn.length > 0;
  }

  /** Ends the turn: runs what was put off to its end, and what that puts off again. */
  endTurn(): void {
    this.#atEndOfTurn.push(...this.#atEndOfNextTurn);
    this.#atEndOfNextTurn = [];
    for (let round = 0; this.#atEndOfTurn.length > 0; round++) {
      if (round === ROUNDS_MAX)
        throw new Error(`the turn does not end: ${ROUNDS_MAX} rounds of further work`);
      const due = this.#atEndOfTurn;
      this.#atEndOfTurn = [];
      for (const run of due) run();
    }
  }

  /** Lets time pass; each timer that comes due has a turn of its own. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.reduce<Timer | undefined>(
        (soonest, timer) => (soonest === undefined || timer.atMs < soonest.atMs ? timer : soonest),
        undefined,
      );
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      this.endTurn();
    }
    this.#nowMs = untilMs;
  }

  /** Lets time pass while nothing runs, as in a process that is stopped: timers come due late, at the next `advance`. */
  sleep(ms: number): void {
    this.#nowMs += ms;
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.length;
  }
}
