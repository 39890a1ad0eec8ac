/**
 * The order in which to try what has a priority and a weight (RFC 2782): by priority, and within one by weighted chance.
 *
 * Stands between what names endpoints (SRV records, a list with weights) and their choice. One comes first among those of
 * its priority with the probability weight / sum of weights; one without weight comes only after all that have one.
 */

/** What stands in an SRV record about its place among others. */
export interface Weighted {
  /** The lowest number comes first. */
  readonly priority: number;
  /** Its share among those of its priority; 0: only when there is nobody else. */
  readonly weight: number;
}

/** The items in the order to try them; `random` gives numbers from 0 up to but not including 1. */
export function inWeightedOrder<Item extends Weighted>(items: readonly Item[], random: () => number): Item[] {
  const priorities = [...new Set(items.map(({ priority }) => priority))].toSorted((a, b) => a - b);
  return priorities.flatMap((priority) => {
    const left = items.filter((item) => item.priority === priority);
    const ordered: Item[] = [];
    while (left.length > 0) ordered.push(...left.splice(drawWeighted(left, random), 1));
    return ordered;
  });
}

/**
 * An index into `items`, with a chance in proportion to its weight. RFC 2782 counts the numbers 0 to the sum, both
 * included, which gives the first one more than its share; here the shares are exact.
 */
export function drawWeighted(items: readonly Pick<Weighted, "weight">[], random: () => number): number {
  const sum = items.reduce((total, { weight }) => total + weight, 0);
  if (sum === 0) return Math.floor(random() * items.length);
  let drawn = random() * sum;
  return items.findIndex(({ weight }) => (drawn -= weight) < 0);
}
