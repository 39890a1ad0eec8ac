/**
 * Whether a target is met by what was measured: the median of the rounds decides.
 */
import type { Figures } from "./figures.ts";
import type { Spread } from "./spread.ts";
import type { Target } from "./targets.ts";

export interface Verdict {
  readonly target: Target;
  readonly outcome: "met" | "missed" | "not measured";
  /** True when some round lay on the other side of the bound than the median: another run may say otherwise. */
  readonly close: boolean;
  readonly value?: Spread;
}

export function judge(target: Target, figures: Figures): Verdict {
  const { measurement, quantity, against, bound } = target;
  const value =
    against === undefined
      ? figures.spread(measurement, "ours", quantity)
      : figures.ratio(measurement, "ours", against, quantity);
  if (value === undefined) return { target, outcome: "not measured", close: false };
  const holds = (figure: number): boolean =>
    "atLeast" in bound ? figure >= bound.atLeast : figure <= bound.atMost;
  return {
    target,
    outcome: holds(value.median) ? "met" : "missed",
    close: holds(value.min) !== holds(value.max),
    value,
  };
}
