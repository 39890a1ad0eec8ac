/**
 * The checks of `/livez`: what only a new start of the process helps against.
 *
 * That it answers at all is half of it. Members that are away are none of its business: no new start brings them back.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Check } from "./check-pages.ts";

/** How long a turn of the event loop may take, in milliseconds: who waits for calls has given up long before. */
const TURN_MS_MAX = 5_000;
/** How long buffers may be over their bound, in milliseconds. Somebody's are given up at once, so they never should be. */
const FULL_MS_MAX = 30_000;

/** The event loop turns. */
export const EVENT_LOOP_CHECK: Check = {
  name: "event_loop",
  async problem() {
    const beganMs = performance.now();
    await nextTurn();
    const turnMs = Math.round(performance.now() - beganMs);
    return turnMs <= TURN_MS_MAX ? "" : `a turn took ${turnMs} ms`;
  },
};

/** Buffers do not stay full: then clients would be cut without end. `now` is a monotonic clock in milliseconds. */
export function buffersCheck(
  buffers: { readonly heldBytes: number; readonly bytesMax: number },
  now: () => number,
): Check {
  let fullSinceMs: number | null = null;
  return {
    name: "buffers",
    problem() {
      if (buffers.heldBytes <= buffers.bytesMax) fullSinceMs = null;
      else fullSinceMs ??= now();
      if (fullSinceMs === null || now() - fullSinceMs < FULL_MS_MAX) return "";
      return `${buffers.heldBytes} bytes are held where there is room for ${buffers.bytesMax}`;
    },
  };
}
