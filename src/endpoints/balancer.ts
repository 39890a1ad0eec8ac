/**
 * The ways to choose among endpoints that are equally good: what `--balancer` names.
 *
 * Stands between the choice, which knows what speaks against an endpoint, and the turn that each one gets. It is handed
 * only candidates of the best rank and the lowest priority number, and keeps nothing but whose turn it is.
 */
import type { Endpoint } from "./endpoint.ts";
import { drawWeighted } from "./weighted-order.ts";

/**
 * - `sticky`: one by chance, kept until it fails
 * - `round-robin`: each in turn
 * - `weighted`: each in turn, as often as its weight says
 * - `least-latency`: the one that answers checks soonest, kept while no other is clearly faster
 */
export const BALANCERS = ["sticky", "round-robin", "weighted", "least-latency"] as const;
export type Balancer = (typeof BALANCERS)[number];

/** An endpoint that may be chosen. */
export interface Candidate {
  readonly endpoint: Endpoint;
  /** How long it takes to answer a check; null while none was answered. */
  readonly latencyMs: number | null;
  /** What it is owed of turns that went to others; the weighted balancer's own. */
  owedTurns: number;
}

/** Another endpoint must be faster by this part, and by this time, before least-latency turns to it. */
const FASTER_PART = 0.25;
const FASTER_MS = 0.5;

/** One of `candidates` by chance, each as likely as its weight says. There is at least one. */
export function drawCandidate<Kind extends Candidate>(
  candidates: readonly Kind[],
  random: () => number,
): Kind {
  const index = drawWeighted(
    candidates.map(({ endpoint }) => endpoint),
    random,
  );
  return candidates[index]!;
}

/** The one whose turn it is; `turns` counts those that were given. There is at least one. */
export function inTurn<Kind extends Candidate>(candidates: readonly Kind[], turns: number): Kind {
  return candidates[turns % candidates.length]!;
}

/**
 * The one that is owed most: each turn owes every candidate its weight, and whoever gets it pays for all. So shares are
 * exact over one round, and turns of one endpoint are spread over it.
 */
export function inWeightedTurn<Kind extends Candidate>(candidates: readonly Kind[]): Kind {
  const unweighted = candidates.every(({ endpoint }) => endpoint.weight === 0);
  let total = 0;
  let most = candidates[0]!;
  for (const candidate of candidates) {
    const weight = unweighted ? 1 : candidate.endpoint.weight;
    candidate.owedTurns += weight;
    total += weight;
    if (candidate.owedTurns > most.owedTurns) most = candidate;
  }
  most.owedTurns -= total;
  return most;
}

/** The fastest, or `kept` while it is among the candidates and none is clearly faster. There is at least one. */
export function fastest<Kind extends Candidate>(candidates: readonly Kind[], kept: Kind | undefined): Kind {
  const latencyOf = ({ latencyMs }: Candidate): number => latencyMs ?? Number.POSITIVE_INFINITY;
  let best = candidates[0]!;
  for (const candidate of candidates) if (latencyOf(candidate) < latencyOf(best)) best = candidate;
  if (kept === undefined || !candidates.includes(kept)) return best;
  return latencyOf(best) < latencyOf(kept) * (1 - FASTER_PART) - FASTER_MS ? best : kept;
}
