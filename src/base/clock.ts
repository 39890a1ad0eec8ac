/**
 * Time as a parameter: what runs later, and what the time is now. Tests drive it by hand.
 */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  nowMs(): number;
  /** Runs `run` once, `delayMs` milliseconds from now at the soonest. Returns what calls that off. */
  after(delayMs: number, run: () => void): () => void;
  /** Runs `run` once the events of this turn of the event loop have been handled. */
  endOfTurn(run: () => void): void;
  /** Runs `run` once the events of the turn after this one have been handled: the loop does not rest in between. */
  endOfNextTurn(run: () => void): void;
}

/** What does not depend on how turns of the event loop end. */
export type Timers = Pick<Clock, "nowMs" | "after">;

/** The time of a running process; its timers keep it from no end. */
export const REAL_TIMERS: Timers = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
