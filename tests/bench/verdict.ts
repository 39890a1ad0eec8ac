/**
 * Whether a target is met by what was measured: the median of the rounds decides.
 */
import type { Figures } from "./figures.ts";
import { RIVALS } from "./measurement.ts";
import type { Spread } from "./spread.ts";
import type { Target } from "./targets.ts";

export interface Verdict {
  readonly target: Target;
  readonly outcome: "met" | "missed" | "not measured";
  /** True when some round lay on the other side of the bound than the median: another run may say otherwise. */
  readonly close: boolean;
  readonly value?: Spread;
  /** Which rival was the best, where the target is against that. */
  readonly bestRival?: string;
}

export function judge(target: Target, figures: Figures): Verdict {
  const { measurement, quantity, bound } = target;
  const bestRival = target.against === "best rival" ? bestOf(RIVALS, target, figures) : undefined;
  const against = target.against === "best rival" ? bestRival : target.against;
  const value =
    target.against === undefined
      ? figures.spread(measurement, "ours", quantity)
      : against === undefined
        ? undefined
        : figures.ratio(measurement, "ours", against, quantity);
  if (value === undefined) return { target, outcome: "not measured", close: false };
  const holds = (figure: number): boolean =>
    "atLeast" in bound ? figure >= bound.atLeast : figure <= bound.atMost;
  return {
    target,
    outcome: holds(value.median) ? "met" : "missed",
    close: holds(value.min) !== holds(value.max),
    value,
    ...(bestRival === undefined ? {} : { bestRival }),
  };
}

/** Whose median lies furthest in the direction in which the target is bound; undefined when nobody has figures. */
function bestOf(
  names: readonly string[],
  { measurement, quantity, bound }: Target,
  figures: Figures,
): string | undefined {
  const medians = names.flatMap((name) => {
    const median = figures.spread(measurement, name, quantity)?.median;
    return median === undefined ? [] : [{ name, goodness: "atLeast" in bound ? median : -median }];
  });
  return medians.toSorted((a, b) => b.goodness - a.goodness)[0]?.name;
}
