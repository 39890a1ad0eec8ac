/**
 * What an outage has cost, by etcd's own account of what happened: acknowledged writes that are not there, events that
 * watches were not told of or told twice, leases that ended although their client kept them alive.
 */
import { type Change, describeChange } from "../change.ts";
import type { ClusterHistory } from "../cluster-history.ts";
import type { WatchHistory } from "../watch-history.ts";
import { concerns } from "../watch-plan.ts";
import type { HeldKey } from "./lease-keeper.ts";
import type { AcknowledgedWrite } from "./outage-load.ts";

export interface EventCounts {
  readonly missed: number;
  readonly doubled: number;
  /** Told after a later one, or never happened. */
  readonly misplaced: number;
}

type Truth = Pick<ClusterHistory, "changes">;

/** The acknowledged writes that etcd's history does not hold as they were acknowledged. */
export function lostWrites(acknowledged: readonly AcknowledgedWrite[], truth: Truth): string[] {
  const happened = new Map(truth.changes.map((change) => [nameOf(change), change]));
  return acknowledged
    .filter(({ key, value, revision }) => {
      const change = happened.get(nameOf({ key, revision }));
      return change?.type !== "put" || !change.pair.endsWith(` ${value}`);
    })
    .map(({ key, value, revision }) => `${key} = ${value}, acknowledged at ${revision}`);
}

/** The keys of `held` that were deleted since: their leases were lost. */
export function lostLeases(held: readonly HeldKey[], truth: Truth): string[] {
  return held.flatMap(({ key, revision }) =>
    truth.changes
      .filter((change) => change.type === "delete" && change.key === key && change.revision > revision)
      .map(describeChange),
  );
}

/** Compares what a watch was told, over all its streams, with what it was to be told. */
export function eventCounts({ plan, entries }: WatchHistory, truth: Truth): EventCounts {
  const created = entries.find((entry) => entry.kind === "created");
  const first = plan.startRevision ?? (created?.revision ?? 0) + 1;
  const due = new Set(
    truth.changes.filter((change) => change.revision >= first && concerns(plan, change)).map(nameOf),
  );
  const told = new Set<string>();
  let [doubled, misplaced, last] = [0, 0, 0];
  for (const change of entries.flatMap((entry) => (entry.kind === "events" ? entry.changes : []))) {
    const name = nameOf(change);
    if (told.has(name)) doubled++;
    else if (!due.has(name) || change.revision < last) misplaced++;
    told.add(name);
    last = Math.max(last, change.revision);
  }
  return { missed: due.difference(told).size, doubled, misplaced };
}

function nameOf({ revision, key }: Pick<Change, "revision" | "key">): string {
  return `${revision} ${key}`;
}
