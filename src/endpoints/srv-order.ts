/**
 * The order in which to try the targets of SRV records (RFC 2782): by priority, and within one by weighted chance.
 *
 * Stands between DNS answers and the choice of endpoints. A record comes first among those of its priority with the
 * probability weight / sum of weights; one without weight comes only after all that have one.
 */
import type { SrvRecord } from "../net/resolver.ts";

/** The records in the order to try them; `random` gives numbers from 0 up to but not including 1. */
export function orderSrvRecords(records: readonly SrvRecord[], random: () => number): SrvRecord[] {
  const priorities = [...new Set(records.map(({ priority }) => priority))].toSorted((a, b) => a - b);
  return priorities.flatMap((priority) => {
    const left = records.filter((record) => record.priority === priority);
    const ordered: SrvRecord[] = [];
    while (left.length > 0) ordered.push(...left.splice(drawWeighted(left, random), 1));
    return ordered;
  });
}

/**
 * An index into `records`, with a chance in proportion to its weight. RFC 2782 counts the numbers 0 to the sum, both
 * included, which gives the first record more than its share; here the shares are exact.
 */
function drawWeighted(records: readonly SrvRecord[], random: () => number): number {
  const sum = records.reduce((total, { weight }) => total + weight, 0);
  if (sum === 0) return Math.floor(random() * records.length);
  let drawn = random() * sum;
  return records.findIndex(({ weight }) => (drawn -= weight) < 0);
}
