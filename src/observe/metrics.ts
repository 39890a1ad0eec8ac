/**
 * Metrics as Prometheus reads them: named values that are looked up when the page is asked for.
 * Stands between those who know what there is to tell (proxy/metrics) and prom-client, whose registry is our own.
 *
 * Invariant: nothing runs and nothing is kept for a metric while nobody asks, so that counting costs the calls nothing;
 * what is told as a counter never goes down. Labels are words of the code or of the operator's flags, never a peer's.
 */
import { Counter, Gauge, type MetricObjectWithValues, type MetricType, Registry } from "prom-client";

/** One value of a metric with labels. */
export interface LabelledValue<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

export class Metrics {
  readonly #registry = new Registry();

  /** The content type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** A value that goes up and down. */
  gauge(name: string, help: string, read: () => number): void {
    this.gauges(name, help, [], () => [{ labels: {}, value: read() }]);
  }

  /** Values that go up and down, one for each set of labels that `read` tells of now. */
  gauges<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
  ): void {
    void new Gauge<Label>(this.#gauge(name, help, labelNames, read));
  }

  /** Like `gauge`, for a name that the conventions keep for counters but whose value goes down too. */
  untyped(name: string, help: string, read: () => number): void {
    void new Untyped(this.#gauge(name, help, [], () => [{ labels: {}, value: read() }]));
  }

  /** What has been counted since the start. */
  counter(name: string, help: string, read: () => number): void {
    this.counters(name, help, [], () => [{ labels: {}, value: read() }]);
  }

  /** What has been counted since the start, for each set of labels. */
  counters<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
  ): void {
    const totals = new Map<string, number>();
    void new Counter<Label>({
      name,
      help,
      labelNames,
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

  /** The page, in Prometheus's text format. Rejects with what a `read` throws. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => Iterable<LabelledValue<Label>>,
  ): ConstructorParameters<typeof Gauge<Label>>[0] {
    return {
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set(labels, value);
      },
    };
  }
}

class Untyped extends Gauge {
  override async get(): Promise<MetricObjectWithValues<{ value: number; labels: object }>> {
    // prom-client has no name for this type of Prometheus's format, but prints what it gets.
    return { ...(await super.get()), type: "untyped" as unknown as MetricType };
  }
}
