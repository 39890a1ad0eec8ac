/**
 * What etcdproxy promises of an outage, held against what came of it.
 */
import type { Contender } from "./contenders.ts";
import { type Outage, UNSEEN_HOLD_MS } from "./outage-catalogue.ts";
import type { OutageReport } from "./outage-run.ts";

const SHOWN_MAX = 5;
/** Of calls; events come when there are writes again. */
const TIMED = ["reads", "serializableReads", "writes"] as const;

/** With what etcd begins when it refuses a call itself: on a busy machine it may elect another leader at any time. */
const ETCDS_OWN_WORD = "etcdserver: ";

/** Whether the product can know that its member is of no use. */
export function canSee({ product }: Contender, { seenBy }: Pick<Outage, "seenBy">): boolean {
  return seenBy === undefined || seenBy.includes(product);
}

/** Each promise that was not kept, in words; empty when all were. */
export function brokenPromises(
  contender: Contender,
  outage: Pick<Outage, "seenBy" | "silenceMaxMs" | "callsFail">,
  report: OutageReport,
): string[] {
  const broken: string[] = [];
  for (const wrong of ["lostWrites", "staleReads", "watchViolations", "lostLeases"] as const) {
    const found = report[wrong];
    if (found.length > 0) broken.push(`${wrong}: ${found.length}: ${found.slice(0, SHOWN_MAX).join("; ")}`);
  }
  for (const wrong of ["missedEvents", "doubledEvents", "misplacedEvents"] as const) {
    if (report[wrong] > 0) broken.push(`${wrong}: ${report[wrong]}`);
  }
  const seen = canSee(contender, outage);
  if (seen && !report.gotOnMeanwhile) broken.push("clients got on only when the outage was over");
  const allowedMs = outage.silenceMaxMs + (seen ? report.unservedMs : UNSEEN_HOLD_MS);
  for (const sort of TIMED) {
    const { silenceMs, failed, details } = report.figures[sort];
    if (silenceMs > allowedMs)
      broken.push(`${sort}: unanswered for ${silenceMs} ms, ${allowedMs} are allowed`);
    const ours = Object.keys(failed).filter((code) => details[code]?.includes(ETCDS_OWN_WORD) !== true);
    if (!outage.callsFail && ours.length > 0) broken.push(`${sort}: failed: ${JSON.stringify(details)}`);
  }
  return broken;
}
