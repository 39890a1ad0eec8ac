/**
 * One outage with one proxy: load, outage, recovery, judgement.
 *
 *      load starts ─> steady ─> outage begins ─> held ─> made good ─> steady again ─> calls end ─> judged
 *
 * Nothing is waited for by the clock but what never comes: each step ends when every client has got on.
 */
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { ClusterHistory } from "../cluster-history.ts";
import { violationsOf, type WatchHistory } from "../watch-history.ts";
import { concerns } from "../watch-plan.ts";
import { type CallFigures, callFigures, type CallKind } from "./call-log.ts";
import { type Contender, startContender } from "./contenders.ts";
import { HOLD_MAX_MS, type Outage, UNSEEN_HOLD_MS } from "./outage-catalogue.ts";
import { OutageLoad } from "./outage-load.ts";
import { canSee } from "./outage-promise.ts";
import type { OutageStage } from "./outage-stage.ts";
import { eventCounts, lostLeases, lostWrites } from "./outage-verdict.ts";

/** Calls of every client before an outage, and after which it has got on again. */
const STEADY_CALLS = 20;
/** A proxy that takes longer is not waited for: longer than a minute, for which etcd's gateway sets endpoints aside. */
export const RECOVERY_MAX_MS = 75_000;
const LAST_EVENTS_MAX_MS = 15_000;

/** What clients do, as far as figures tell it apart; events come to watches of themselves. */
const SORTS = {
  reads: ["read"],
  serializableReads: ["serializable read"],
  writes: ["put", "transaction"],
  events: ["event"],
} as const satisfies Readonly<Record<string, readonly CallKind[]>>;
export type Sort = keyof typeof SORTS;

export interface OutageReport {
  readonly figures: Readonly<Record<Sort, CallFigures>>;
  /** Whether all clients got on while the outage lasted. */
  readonly gotOnMeanwhile: boolean;
  /** How long the outage was held at most. */
  readonly heldMs: number;
  /** How long etcd itself could not serve, in milliseconds, as far as that is known. */
  readonly unservedMs: number;
  readonly acknowledgedWrites: number;
  readonly lostWrites: readonly string[];
  readonly staleReads: readonly string[];
  readonly watches: number;
  readonly missedEvents: number;
  readonly doubledEvents: number;
  readonly misplacedEvents: number;
  /** All that was wrong with what watches were told, in words. */
  readonly watchViolations: readonly string[];
  readonly leases: number;
  readonly lostLeases: readonly string[];
}

/**
 * Lets `outage` happen on `stage`, behind the proxy that `contender` names, and made good again.
 *
 * @throws Error when there was no steady load to begin with.
 */
export async function runOutage(
  stage: OutageStage,
  contender: Contender,
  outage: Outage,
): Promise<OutageReport> {
  const { cluster } = stage;
  await outage.prepare?.(stage);
  using folder = new TemporaryFolder("outage");
  await using proxy = await startContender(contender, stage, folder.path);
  const truth = await ClusterHistory.begin(cluster.member(0).endpoint);
  await using load = await OutageLoad.start(proxy.address);
  const beSteady = async (): Promise<void> => {
    if (await load.getsOn(STEADY_CALLS, performance.now(), RECOVERY_MAX_MS)) return;
    throw new Error(`no steady load before the outage: ${JSON.stringify(callFigures(load.logs, 0))}`);
  };
  const inUse = await stage.memberInUse(beSteady);
  if (outage.inUse !== undefined) await stage.takesPart(inUse, outage.inUse);
  await beSteady();

  const beginMs = performance.now();
  let gotOnMeanwhile = false;
  const heldMs = canSee(contender, outage) ? HOLD_MAX_MS : UNSEEN_HOLD_MS;
  const hold = async (): Promise<void> => {
    gotOnMeanwhile = await load.getsOn(outage.callsMeanwhile ?? STEADY_CALLS, performance.now(), heldMs);
  };
  const unservedMs = (await outage.happen({ stage, inUse, hold })) ?? 0;
  await cluster.waitHealthy();
  await load.getsOn(STEADY_CALLS, performance.now(), RECOVERY_MAX_MS);
  await load.endCalls();

  await truth.extend(cluster.member(0).endpoint);
  await lastEventsAreTold(load.histories, truth);
  const figures = Object.entries(SORTS).map(([sort, kinds]: [string, readonly CallKind[]]) => [
    sort,
    callFigures(
      load.logs.filter(({ kind }) => kinds.includes(kind)),
      beginMs,
    ),
  ]);
  const counts = load.histories.map((history) => eventCounts(history, truth));
  return {
    figures: Object.fromEntries(figures) as OutageReport["figures"],
    gotOnMeanwhile,
    heldMs,
    unservedMs,
    acknowledgedWrites: load.acknowledged.length,
    lostWrites: lostWrites(load.acknowledged, truth),
    staleReads: load.staleReads,
    watches: counts.length,
    missedEvents: sum(counts.map(({ missed }) => missed)),
    doubledEvents: sum(counts.map(({ doubled }) => doubled)),
    misplacedEvents: sum(counts.map(({ misplaced }) => misplaced)),
    watchViolations: [
      ...load.watchers.flatMap(({ violations }) => violations),
      ...load.histories.flatMap((history) => violationsOf(history, truth)),
    ],
    leases: load.leases,
    lostLeases: load.keepers.flatMap(({ held }) => lostLeases(held, truth)),
  };
}

/** Waits until each watch has been told of the last change that concerns it; those that never are have missed it. */
async function lastEventsAreTold(histories: readonly WatchHistory[], truth: ClusterHistory): Promise<void> {
  const last = new Map(
    histories.map((history) => [
      history,
      truth.changes.findLast((change) => concerns(history.plan, change))?.revision ?? 0,
    ]),
  );
  const late = (): boolean => [...last].some(([history, revision]) => history.lastChange < revision);
  await waitFor("the last events", () => !late(), { deadlineMs: LAST_EVENTS_MAX_MS }).catch(() => {});
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
