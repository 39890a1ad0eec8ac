/**
 * How much counters have grown between two looks at them, and together over several.
 *
 * Stands between what was read and rates. A counter that is lower than before has begun again at zero, because the process
 * was started anew: what it says now has been added since. One that was not there before has grown from zero, too.
 */
import { type Exposition, type Labels, type Sample, type Series, sumOf } from "./exposition.ts";

export class Increases {
  /** The time in which they grew. */
  readonly seconds: number;
  readonly #series: ReadonlyMap<string, Series>;

  private constructor(seconds: number, series: ReadonlyMap<string, Series>) {
    this.seconds = seconds;
    this.#series = series;
  }

  /** @param seconds the time between the two, above zero */
  static between(before: Exposition, after: Exposition, seconds: number): Increases {
    const increases = new Map<string, Series>();
    for (const name of after.counted) {
      const earlier = before.series(name);
      const grown = new Map<string, Sample>();
      for (const [key, { labels, value }] of after.series(name)) {
        const start = earlier.get(key)?.value ?? 0;
        grown.set(key, { labels, value: value < start ? value : value - start });
      }
      increases.set(name, grown);
    }
    return new Increases(seconds, increases);
  }

  /** Of all these times together; there is at least one. */
  static together(parts: readonly Increases[]): Increases {
    const totals = new Map<string, Map<string, Sample>>();
    for (const part of parts) {
      for (const [name, series] of part.#series) {
        let total = totals.get(name);
        if (total === undefined) totals.set(name, (total = new Map<string, Sample>()));
        for (const [key, { labels, value }] of series) {
          total.set(key, { labels, value: value + (total.get(key)?.value ?? 0) });
        }
      }
    }
    return new Increases(
      parts.reduce((seconds, part) => seconds + part.seconds, 0),
      totals,
    );
  }

  /** What of it falls to so many of its seconds, spread over all of them; whole numbers, as counters have. */
  within(seconds: number): Increases {
    if (seconds >= this.seconds) return this;
    const part = seconds / this.seconds;
    const shares = [...this.#series].map(([name, series]): [string, Series] => [
      name,
      new Map(
        [...series].map(([key, { labels, value }]) => [key, { labels, value: Math.round(value * part) }]),
      ),
    ]);
    return new Increases(seconds, new Map(shares));
  }

  /** How much each value of `name` has grown. */
  samples(name: string): Iterable<Sample> {
    return this.#series.get(name)?.values() ?? [];
  }

  /** How much the values of `name` with these labels have grown; null when there is none. */
  sum(name: string, where: Labels = {}): number | null {
    return sumOf(this.samples(name), where);
  }

  /** The same, in a second. */
  rate(name: string, where: Labels = {}): number | null {
    const sum = this.sum(name, where);
    return sum === null ? null : sum / this.seconds;
  }
}
