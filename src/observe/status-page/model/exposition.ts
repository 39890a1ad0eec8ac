/**
 * Prometheus's text format, as the status page reads it: values by name and labels.
 *
 * Stands between the page `/proxy/metrics` and the figures. It takes what it can read and leaves out what it cannot, since a
 * newer proxy may tell more than this page knows of.
 */

export type Labels = Readonly<Record<string, string>>;

/** One value, of one set of labels. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Values of one name, each under its labels as they were written. */
export type Series = ReadonlyMap<string, Sample>;

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;
const ESCAPED: Readonly<Record<string, string>> = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

export class Exposition {
  readonly #series: ReadonlyMap<string, Series>;
  /** Names of what is counted: counters, and the parts of histograms. */
  readonly counted: ReadonlySet<string>;

  constructor(series: ReadonlyMap<string, Series>, counted: ReadonlySet<string>) {
    this.#series = series;
    this.counted = counted;
  }

  get names(): Iterable<string> {
    return this.#series.keys();
  }

  /** All values of `name`; empty when there is none. */
  series(name: string): Series {
    return this.#series.get(name) ?? NO_SERIES;
  }

  /** The sum of all values of `name` that have these labels; null when there is none. */
  sum(name: string, where: Labels = {}): number | null {
    return sumOf(this.series(name).values(), where);
  }

  /** The largest of all values of `name`; null when there is none. */
  max(name: string): number | null {
    const values = [...this.series(name).values()].map(({ value }) => value);
    return values.length === 0 ? null : Math.max(...values);
  }
}

const NO_SERIES: Series = new Map();

/** The sum of the samples that have these labels; null when none has. */
export function sumOf(samples: Iterable<Sample>, where: Labels = {}): number | null {
  const wanted = Object.entries(where);
  let sum: number | null = null;
  for (const { labels, value } of samples) {
    if (wanted.every(([label, text]) => labels[label] === text)) sum = (sum ?? 0) + value;
  }
  return sum;
}

export function readExposition(text: string): Exposition {
  const series = new Map<string, Map<string, Sample>>();
  const types = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, typed, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (typed !== undefined && type !== undefined) types.set(typed, type);
    if (line.startsWith("#")) continue;
    const [, name, labels = "", number = ""] = SAMPLE.exec(line.trim()) ?? [];
    const value = numberIn(number);
    if (name === undefined || value === null) continue;
    let known = series.get(name);
    if (known === undefined) series.set(name, (known = new Map<string, Sample>()));
    known.set(labels, { labels: labelsIn(labels), value });
  }
  const isCounted = (name: string): boolean =>
    types.get(name) === "counter" || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram";
  return new Exposition(series, new Set([...series.keys()].filter(isCounted)));
}

function numberIn(text: string): number | null {
  if (text === "+Inf" || text === "Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  const value = Number(text);
  return text === "" || Number.isNaN(value) ? null : value;
}

function labelsIn(text: string): Labels {
  const labels: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [, name = "", value = ""] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\./g, (escaped) => ESCAPED[escaped] ?? escaped);
  }
  return labels;
}
