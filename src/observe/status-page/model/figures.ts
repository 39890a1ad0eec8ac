/**
 * What the page shows of a product's metrics: figures, and lines of plots. Each reads one moment and tells null where the
 * proxy does not tell what it needs, or has nothing to tell yet.
 */
import type { Moment } from "./moment.ts";
import type { Unit } from "./wording.ts";

/** A number that is shown large, with a word on what stands behind it. */
export interface Figure {
  readonly key: string;
  readonly title: string;
  read(moment: Moment): { readonly value: string; readonly detail: string };
}

/** A line of a plot; its key is its own among all plots of the page. */
export interface Line {
  readonly key: string;
  readonly name: string;
  read(moment: Moment): number | null;
}

export interface PlotPlan {
  readonly title: string;
  readonly unit: Unit;
  /** Three at most. */
  readonly lines: readonly Line[];
  /** What is said while no line has a value; without it the plot is not shown until one has. */
  readonly absent?: string;
}

export interface ProductFigures {
  readonly figures: readonly Figure[];
  readonly plots: readonly PlotPlan[];
}

/** A line of a counter's growth, in a second. */
export function rateLine(key: string, name: string, metric: string, where = {}): Line {
  return { key, name, read: ({ last }) => last?.rate(metric, where) ?? null };
}

/** A line of what a gauge tells. */
export function gaugeLine(key: string, name: string, metric: string, where = {}): Line {
  return { key, name, read: ({ now }) => now.sum(metric, where) };
}
