/**
 * Metrics as Prometheus reads them: named values that are looked up when the page is asked for.
 * Stands between those who know what there is to tell (proxy/metrics) and prom-client, whose registry is our own.
 *
 * Invariant: nothing runs and nothing is kept for a metric while nobody asks, so that counting costs the calls nothing;
 * what is told as a counter never goes down. Labels are words of the code or of the operator's flags, never a peer's.
 */
import {
  AggregatorRegistry,
  Counter,
  Gauge,
  type MetricObjectWithValues,
  type MetricType,
  type MetricValue,
  Registry,
} from "prom-client";
import { DURATION_BOUNDS, type DurationHistogram } from "../base/duration-histogram.ts";

/** One value of a metric with labels. */
export interface LabelledValue<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

/**
 * What the workers of one process tell of the same metric, together: `sum` where each has a part of it, `max` or `min` where each tells
 * of the whole process, or of the same thing.
 */
export type Together = "sum" | "max" | "min";

/** All values of a worker's metrics, as they travel from thread to thread. */
export type MetricValues = readonly MetricObjectWithValues<MetricValue<string>>[];

/** The page of several workers: each metric in the way that it was declared with. */
export function pageTogether(told: readonly MetricValues[]): Promise<string> {
  return together(told).metrics();
}

/** The values of several workers in one. */
export function valuesTogether(told: readonly MetricValues[]): Promise<MetricValues> {
  return together(told).getMetricsAsJSON();
}

function together(told: readonly MetricValues[]): Registry {
  return AggregatorRegistry.aggregate(told.map((values) => [...values]));
}

/** One histogram of a metric. */
export interface LabelledDurations<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly durations: Readonly<DurationHistogram>;
}

export class Metrics {
  readonly #registry = new Registry();

  /** The content type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** A value that goes up and down. */
  gauge(name: string, help: string, read: () => number, together: Together = "sum"): void {
    this.gauges(name, help, [], () => [{ labels: {}, value: read() }], together);
  }

  /** Values that go up and down, one for each set of labels that `read` tells of now. */
  gauges<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
    together: Together = "sum",
  ): void {
    void new Gauge<Label>(this.#gauge(name, help, labelNames, read, together));
  }

  /** Like `gauge`, for a name that the conventions keep for counters but whose value goes down too. */
  untyped(name: string, help: string, read: () => number): void {
    void new Untyped(this.#gauge(name, help, [], () => [{ labels: {}, value: read() }], "sum"));
  }

  /** What has been counted since the start. */
  counter(name: string, help: string, read: () => number, together: Together = "sum"): void {
    this.counters(name, help, [], () => [{ labels: {}, value: read() }], together);
  }

  /** What has been counted since the start, for each set of labels. */
  counters<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
    together: Together = "sum",
  ): void {
    const totals = new Map<string, number>();
    void new Counter<Label>({
      name,
      help,
      labelNames,
      aggregator: together,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) {
          // A counter that goes down reads as a restart, and all it ever counted as new.
          const key = JSON.stringify(labelNames.map((label) => labels[label]));
          const total = Math.max(totals.get(key) ?? 0, value);
          totals.set(key, total);
          this.inc(labels, total);
        }
      },
    });
  }

  /** How long things took since the start, in seconds, for each set of labels. Of those that nothing is counted for nothing is told. */
  durations<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledDurations<Label>>,
  ): void {
    void new Measured(
      { name, help, labelNames: [...labelNames, "le"], aggregator: "sum", registers: [this.#registry] },
      () =>
        [...read()].flatMap(({ labels, durations }) =>
          durations.empty ? [] : histogramValues(name, labels, durations),
        ),
    );
  }

  /** The page, in Prometheus's text format. Rejects with what a `read` throws. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** All values now, to be put together with those of other workers. Rejects with what a `read` throws. */
  values(): Promise<MetricValues> {
    return this.#registry.getMetricsAsJSON();
  }

  #gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
    together: Together,
  ): ConstructorParameters<typeof Gauge<Label>>[0] {
    return {
      name,
      help,
      labelNames,
      aggregator: together,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set(labels, value);
      },
    };
  }
}

type HistogramValue = MetricValue<string> & { readonly metricName: string };

/** Buckets in Prometheus's way: each counts what the ones before count, too. */
function histogramValues(
  name: string,
  labels: Readonly<Record<string, string>>,
  { counts, sumMs }: Readonly<DurationHistogram>,
): HistogramValue[] {
  const values: HistogramValue[] = [];
  let count = 0;
  for (let at = 0; at <= DURATION_BOUNDS.length; at++) {
    count += counts[at]!;
    const le = at < DURATION_BOUNDS.length ? String(DURATION_BOUNDS[at]) : "+Inf";
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: count });
  }
  values.push({ metricName: `${name}_sum`, labels, value: sumMs / 1000 });
  values.push({ metricName: `${name}_count`, labels, value: count });
  return values;
}

/** A histogram whose buckets are counted elsewhere: prom-client's own wants to be told of each value. */
class Measured extends Gauge {
  readonly #read: () => HistogramValue[];

  constructor(configuration: ConstructorParameters<typeof Gauge>[0], read: () => HistogramValue[]) {
    super(configuration);
    this.#read = read;
  }

  override async get(): Promise<MetricObjectWithValues<{ value: number; labels: object }>> {
    const told = await super.get();
    return { ...told, type: "histogram" as unknown as MetricType, values: this.#read() };
  }
}

class Untyped extends Gauge {
  override async get(): Promise<MetricObjectWithValues<{ value: number; labels: object }>> {
    // prom-client has no name for this type of Prometheus's format, but prints what it gets.
    return { ...(await super.get()), type: "untyped" as unknown as MetricType };
  }
}
