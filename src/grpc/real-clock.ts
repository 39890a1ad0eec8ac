/** The clock of a running process: its turns end where sockets are written to. */
import type { Clock } from "../base/clock.ts";
import { atEndOfTurn } from "./end-of-turn.ts";

export const REAL_CLOCK: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  endOfTurn(run) {
    atEndOfTurn({ onEndOfTurn: run });
  },
  endOfNextTurn(run) {
    // From within the end of a turn this comes behind the next look at the sockets.
    setImmediate(run);
  },
};
