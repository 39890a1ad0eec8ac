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
      soon: this.#since(timeMs - SOON_MS),
      minute: this.#since(timeMs - MINUTE_MS),
    };
  }

  #since(timeMs: number): Increases | null {
    const parts = this.#recent.filter((recent) => recent.timeMs > timeMs).map(({ increases }) => increases);
    return parts.length === 0 ? null : Increases.together(parts);
  }
}
