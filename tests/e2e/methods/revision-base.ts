/**
 * Revisions relative to the one at which a case began, so that two runs of it on one cluster compare.
 *
 * Zero (no revision) and revisions from before the case, which both runs see alike, stay as they are.
 */
export function revisionsOf(base: bigint, revision: string): string {
  const distance = BigInt(revision) - base;
  return revision === "0" || distance < 0n ? revision : `base + ${distance}`;
}
