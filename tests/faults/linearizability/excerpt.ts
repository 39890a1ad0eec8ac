/**
 * A violation as a reader wants it: what the store held where the search ended, the operations of which none can be
 * the next, and the last writes before, with client, target and times.
 */
import type { Verdict } from "./checker.ts";
import type { Operation } from "./history.ts";
import { answerText, onlyReads, requestText } from "./kv-operation.ts";

const ORDER_SHOWN_MAX = 12;
const STUCK_SHOWN_MAX = 12;

export function describeVerdict(verdict: Verdict): string {
  if (verdict.kind === "linearizable") return `linearizable, found in ${verdict.steps} steps`;
  const { order, stuck, state } = verdict;
  const title = verdict.kind === "violation" ? "not linearizable" : `undecided after ${verdict.steps} steps`;
  const latest = order.filter(({ request }) => !onlyReads(request)).slice(-ORDER_SHOWN_MAX);
  // Who returns first is the one that cannot be explained, more often than not.
  const waiting = stuck.toSorted((left, right) => left.returnMs - right.returnMs).slice(0, STUCK_SHOWN_MAX);
  return [
    `${title}; ${order.length} operations can be put in order, these are the last writes of them:`,
    ...latest.map(describeOperation),
    `then the store is at ${state.revision} and holds ${state.describe() || "nothing"}`,
    "and none of these can be the next, though the first of them has returned:",
    ...waiting.map(describeOperation),
  ].join("\n");
}

export function describeOperation({ client, target, request, callMs, returnMs, outcome }: Operation): string {
  const times = `${callMs.toFixed(3)}..${Number.isFinite(returnMs) ? returnMs.toFixed(3) : "?"}`;
  const told =
    outcome.kind === "unknown"
      ? `unknown: ${outcome.why}`
      : `at ${outcome.revision}: ${answerText(outcome.answer, "revisions")}`;
  return `  ${times} ${client} -> ${target}: ${requestText(request)} => ${told}`;
}
