/**
 * Figures of several rounds as one: the median, and how far the rounds lay apart.
 *
 * A ratio is taken round by round, of two figures measured within seconds of each other, and only then summed
 * up: what slows the whole machine down for a while slows both sides alike.
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A figure of each round, by the round's number; undefined where that round has none. */
export type RoundFigures = readonly (number | undefined)[];

/** The value below which `share` (0 to 1) of `sorted` lies, by nearest rank. @throws Error when it is empty. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  const value = sorted[rank - 1];
  if (value === undefined) throw new Error("no quantile of nothing");
  return value;
}

/** The median of an even number of figures is the mean of the two in the middle. Undefined without figures. */
export function spreadOf(figures: RoundFigures): Spread | undefined {
  const sorted = figures.filter((figure) => figure !== undefined).sort((left, right) => left - right);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (min === undefined || max === undefined || lower === undefined || upper === undefined) return undefined;
  return { median: (lower + upper) / 2, min, max };
}

/** `figures` divided by `base`, round by round. A round that lacks either side, or whose base is 0, has no ratio. */
export function ratiosOf(figures: RoundFigures, base: RoundFigures): RoundFigures {
  return figures.map((figure, round) => {
    const divisor = base[round];
    return figure === undefined || divisor === undefined || divisor === 0 ? undefined : figure / divisor;
  });
}
