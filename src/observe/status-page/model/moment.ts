/**
 * All that is known at one moment, for the figures: what the metrics say now, and how they have grown lately.
 *
 * Stands between the looks at `/proxy/metrics` and the figures. A look that fails leaves a gap in what is plotted; what has been
 * counted meanwhile is spread over the time of the gap, never lost and never counted twice.
 */
import type { Exposition } from "./exposition.ts";
import { Increases } from "./increases.ts";

/** How long ago what counts as lately may have been. */
const MINUTE_MS = 60_000;
/** The same for quantiles in plots: long enough for them to be of more than a few calls. */
const SOON_MS = 10_000;

export interface Moment {
  readonly timeMs: number;
  readonly now: Exposition;
  /** Since the look before. Null at the first one. */
  readonly last: Increases | null;
  /** In the last ten seconds, about. */
  readonly soon: Increases | null;
  /** In the last minute. */
  readonly minute: Increases | null;
}

/**
 * How long the page has been open, in milliseconds: the longer of what two clocks tell. One stands still in some browsers while the
 * machine sleeps, and what was counted meanwhile would seem to be of an instant; the other is set by people.
 */
export class OpenTime {
  readonly #steadyMs: () => number;
  readonly #dayMs: () => number;
  #before: readonly [steadyMs: number, dayMs: number];
  #openMs = 0;

  constructor(steadyMs: () => number = () => performance.now(), dayMs: () => number = () => Date.now()) {
    this.#steadyMs = steadyMs;
    this.#dayMs = dayMs;
    this.#before = [steadyMs(), dayMs()];
  }

  get nowMs(): number {
    const [steadyMs, dayMs] = [this.#steadyMs(), this.#dayMs()];
    this.#openMs += Math.max(steadyMs - this.#before[0], dayMs - this.#before[1]);
    this.#before = [steadyMs, dayMs];
    return this.#openMs;
  }
}

interface TimedIncreases {
  readonly timeMs: number;
  readonly increases: Increases;
}

export class Moments {
  #before: { readonly timeMs: number; readonly now: Exposition } | null = null;
  #recent: TimedIncreases[] = [];

  /** Takes in a look at the metrics. `timeMs` is a clock that is never set back. */
  add(timeMs: number, now: Exposition): Moment {
    const before = this.#before;
    this.#before = { timeMs, now };
    let last: Increases | null = null;
    if (before !== null && timeMs > before.timeMs) {
      last = Increases.between(before.now, now, (timeMs - before.timeMs) / 1000);
      this.#recent.push({ timeMs, increases: last });
    }
    this.#recent = this.#recent.filter((recent) => timeMs - recent.timeMs < MINUTE_MS);
    return {
      timeMs,
      now,
      last,
      soon: this.#lately(timeMs, SOON_MS),
      minute: this.#lately(timeMs, MINUTE_MS),
    };
  }

  /** A look after a gap tells of more than the time that counts as lately: its share of that is taken. */
  #lately(timeMs: number, spanMs: number): Increases | null {
    const parts: Increases[] = [];
    let seconds = spanMs / 1000;
    for (const recent of this.#recent.toReversed()) {
      if (timeMs - recent.timeMs >= spanMs || seconds <= 0) break;
      const part = recent.increases.within(seconds);
      parts.push(part);
      seconds -= part.seconds;
    }
    return parts.length === 0 ? null : Increases.together(parts);
  }
}
