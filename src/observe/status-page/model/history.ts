/** What plots are drawn from: values at moments of the last ten minutes, in memory only. */

/** Values by the name of their line; null where there was none to be had. */
export type Values = ReadonlyMap<string, number | null>;

export interface Point {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly values: Values;
}

export const HISTORY_MS = 10 * 60_000;
/** However often somebody adds: those of ten minutes every other second, with room to spare. */
export const POINTS_MAX = 400;

export class History {
  #points: Point[] = [];

  /** Oldest first. */
  get points(): readonly Point[] {
    return this.#points;
  }

  /** Adds the newest moment; those that are too old go. An empty map marks a moment without an answer. */
  add(timeMs: number, values: Values): void {
    this.#points.push({ timeMs, values });
    const oldest = timeMs - HISTORY_MS;
    const kept = this.#points.findIndex((point) => point.timeMs >= oldest);
    const tooMany = this.#points.length - POINTS_MAX;
    this.#points = this.#points.slice(Math.max(kept, tooMany, 0));
  }

  /** The newest value of a line; null when there is none. */
  latest(line: string): number | null {
    return this.#points.at(-1)?.values.get(line) ?? null;
  }

  /** The least and the greatest value of a line; null when it has none. */
  range(line: string): { readonly least: number; readonly greatest: number } | null {
    let least = Number.POSITIVE_INFINITY;
    let greatest = Number.NEGATIVE_INFINITY;
    for (const { values } of this.#points) {
      const value = values.get(line) ?? null;
      if (value === null) continue;
      least = Math.min(least, value);
      greatest = Math.max(greatest, value);
    }
    return least <= greatest ? { least, greatest } : null;
  }
}
