/**
 * The end of a search that failed as a small history of its own, so that it can be judged by values alone too: what
 * was in order long before is taken for granted, and what began later is left out.
 */
import { check, type Verdict } from "./checker.ts";
import { isAnswered, type Operation } from "./history.ts";
import { execute, type KvState } from "./kv-model.ts";
import { onlyReads } from "./kv-operation.ts";

/** Of the operations that were put in order, those that are judged again. */
const JUDGED_AGAIN = 60;
const STEPS_MAX = 1_000_000;

/** Whether values alone show that something is wrong, around the place where the search ended. */
export function verdictByValues(
  { order, stuck }: Exclude<Verdict, { readonly kind: "linearizable" }>,
  history: readonly Operation[],
  initial: KvState,
): Verdict["kind"] {
  const granted = order.slice(0, -JUDGED_AGAIN);
  const state = granted.reduce((before, { request }) => execute(before, request).state, initial);
  const left = new Set<Operation>(granted);
  // The first of these to return is the one that found no place.
  const untilMs = Math.min(...stuck.map(({ returnMs }) => returnMs));
  const rest = history
    .filter((operation) => !left.has(operation) && operation.callMs <= untilMs)
    .flatMap((operation) => atTime(operation, untilMs));
  return check(rest, { detail: "values", initial: state, stepsMax: STEPS_MAX }).kind;
}

/** What was known of an operation at `ms`: those without an answer then might have seen what came later. */
function atTime(operation: Operation, ms: number): Operation[] {
  if (!isAnswered(operation) || operation.returnMs <= ms) return [operation];
  if (onlyReads(operation.request)) return [];
  const outcome = { kind: "unknown", why: "not answered yet" } as const;
  return [{ ...operation, returnMs: Number.POSITIVE_INFINITY, outcome }];
}
