/** The clock of a running process: its turns end where sockets are written to. */
import { type Clock, REAL_TIMERS } from "../base/clock.ts";
import { atEndOfTurn } from "./end-of-turn.ts";

export const REAL_CLOCK: Clock = {
  ...REAL_TIMERS,
  endOfTurn(run) {
    atEndOfTurn({ onEndOfTurn: run });
  },
  endOfNextTurn(run) {
    // From within the end of a turn this comes behind the next look at the sockets.
    setImmediate(run);
  },
};
