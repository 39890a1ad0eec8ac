/**
 * Which endpoint to use, by all that is known of each: dials that failed, checks, latency, priority and weight.
 *
 * Stands between the list of endpoints and those who dial; it reads no clock and dials nothing. What speaks against an
 * endpoint gives it a rank, and only the best rank that there is, of the lowest priority number, is chosen from:
 *
 *     0  nothing speaks against it
 *     1  it answers checks, but says that it cannot serve all (no leader, a learner)
 *     2  it does not answer checks
 *     3  it failed a moment ago, and is set aside for the retry delay
 *
 * So nobody is turned away only because time has to pass, and where all are bad the one in use stays in use.
 */
import { type Balancer, type Candidate, drawCandidate, fastest, inTurn, inWeightedTurn } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointReport, EndpointState, Verdict } from "./endpoint-report.ts";
import { inWeightedOrder } from "./weighted-order.ts";

export interface EndpointChoiceOptions {
  /** How long a failed endpoint is set aside. */
  readonly retryDelayMs: number;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
  /** `sticky` when absent. */
  readonly balancer?: Balancer | undefined;
}

/** What an answered check says of an earlier failure: `refuted` by it, or for this endpoint it is no answer to it. */
export type FailureKind = "unreachable" | "misbehaved";

interface Failure {
  readonly reason: string;
  readonly kind: FailureKind;
  readonly failedMs: number;
  /** Failures in the same millisecond keep their order. */
  readonly sequence: number;
}

interface EndpointRecord extends Candidate {
  endpoint: Endpoint;
  failure: Failure | null;
  /** What checks say against it. */
  problem: Exclude<Verdict, { kind: "fit" }> | null;
  latencyMs: number | null;
}

/** How much the newest latency counts in the mean. */
const LATENCY_NEW_PART = 0.3;
const RANK_SET_ASIDE = 3;

export class EndpointChoice {
  readonly #retryDelayMs: number;
  readonly #random: () => number;
  readonly #balancer: Balancer;
  #records: readonly EndpointRecord[];
  #byName: ReadonlyMap<string, EndpointRecord>;
  #failures = 0;
  #turns = 0;
  #chosen: EndpointRecord;

  /** `endpoints` must not be empty, nor name an address twice. */
  constructor(endpoints: readonly Endpoint[], options: EndpointChoiceOptions) {
    this.#retryDelayMs = options.retryDelayMs;
    this.#random = options.random;
    this.#balancer = options.balancer ?? "sticky";
    this.#records = requireSome(endpoints).map(newRecord);
    this.#byName = byName(this.#records);
    this.#chosen = drawCandidate(preferred(this.#records), this.#random);
  }

  /** The endpoint that is kept: where it is good, the same every time. */
  current(nowMs: number): Endpoint {
    return this.#keep(nowMs).endpoint;
  }

  /** The endpoint for the next client, or call: the one that is kept, or the one whose turn it is. */
  next(nowMs: number): Endpoint {
    if (this.#balancer === "sticky" || this.#balancer === "least-latency") return this.current(nowMs);
    const candidates = preferred(this.#best(nowMs));
    return this.#balancer === "weighted"
      ? inWeightedTurn(candidates).endpoint
      : inTurn(candidates, this.#turns++).endpoint;
  }

  /** Every endpoint once, in the order to try them: `first`, then by rank, priority and weighted chance. */
  candidates(nowMs: number, first: Endpoint = this.current(nowMs)): Endpoint[] {
    const others = this.#records.filter(({ endpoint }) => endpoint.name !== first.name);
    const ofRank = (rank: number): Endpoint[] =>
      others.filter((record) => this.#rank(record, nowMs) === rank).map(({ endpoint }) => endpoint);
    const good = [0, 1, 2].flatMap((rank) => inWeightedOrder(ofRank(rank), this.#random));
    const setAside = others.filter((record) => this.#rank(record, nowMs) === RANK_SET_ASIDE);
    return [first, ...good, ...oldestFailureFirst(setAside).map(({ endpoint }) => endpoint)];
  }

  /**
   * Sets `endpoint` aside. True when nothing spoke against it before, so that a log tells of it once.
   *
   * @param kind `unreachable`: a check that is answered takes the mark off again
   */
  failed(endpoint: Endpoint, reason: string, nowMs: number, kind: FailureKind = "unreachable"): boolean {
    const record = this.#byName.get(endpoint.name);
    if (record === undefined) return false;
    const news = record.failure === null;
    record.failure = { reason, kind, failedMs: nowMs, sequence: this.#failures++ };
    if (record === this.#chosen) this.#chooseAnother(nowMs);
    return news;
  }

  /** Takes the mark of a failure off `endpoint`. True when it bore one. */
  succeeded(endpoint: Endpoint): boolean {
    const record = this.#byName.get(endpoint.name);
    if (record === undefined || record.failure === null) return false;
    record.failure = null;
    // Not later, when time has made another one as good: this one is known to work.
    if (this.#chosen.failure !== null) this.#chosen = record;
    return true;
  }

  /** `endpoint` is the one in use from now on. */
  keep(endpoint: Endpoint): void {
    this.#chosen = this.#byName.get(endpoint.name) ?? this.#chosen;
  }

  /** Takes in what a check has found. True when that is news: another kind of verdict than the last one. */
  judge(endpoint: Endpoint, verdict: Verdict): boolean {
    const record = this.#byName.get(endpoint.name);
    if (record === undefined) return false;
    const before = record.problem?.kind ?? "fit";
    if (verdict.kind === "fit") {
      const { latencyMs } = record;
      record.problem = null;
      record.latencyMs =
        latencyMs === null
          ? verdict.latencyMs
          : latencyMs + (verdict.latencyMs - latencyMs) * LATENCY_NEW_PART;
      if (record.failure?.kind === "unreachable") this.succeeded(endpoint);
    } else {
      record.problem = verdict;
    }
    return before !== verdict.kind;
  }

  /** Whether nothing speaks against the endpoint now. */
  isFit(endpoint: Endpoint, nowMs: number): boolean {
    const record = this.#byName.get(endpoint.name);
    return record !== undefined && this.#rank(record, nowMs) === 0;
  }

  /** What checks say against `endpoint`, whatever else is known of it; null where they do not. */
  problemOf({ name }: Endpoint): Exclude<Verdict, { kind: "fit" }> | null {
    return this.#byName.get(name)?.problem ?? null;
  }

  /** Whether every endpoint has failed, or does not answer. */
  allFailed(nowMs: number): boolean {
    return this.#records.every((record) => this.#rank(record, nowMs) > 1);
  }

  /** What is known of each endpoint. */
  describe(nowMs: number): readonly EndpointReport[] {
    return this.#records.map((record) => this.#report(record, nowMs));
  }

  /** What is known of one endpoint; undefined when it is not listed. */
  reportOf(endpoint: Endpoint, nowMs: number): EndpointReport | undefined {
    const record = this.#byName.get(endpoint.name);
    return record && this.#report(record, nowMs);
  }

  #report(record: EndpointRecord, nowMs: number): EndpointReport {
    return {
      endpoint: record.endpoint,
      state: STATES[this.#rank(record, nowMs)]!,
      reason: record.failure?.reason ?? record.problem?.reason,
      latencyMs: record.latencyMs,
    };
  }

  /** Another list; what is known of endpoints on both lists stays, and so does the current one if it is on it. */
  replace(endpoints: readonly Endpoint[]): void {
    this.#records = requireSome(endpoints).map((endpoint) => {
      const known = this.#byName.get(endpoint.name);
      if (known === undefined) return newRecord(endpoint);
      known.endpoint = endpoint;
      return known;
    });
    this.#byName = byName(this.#records);
    if (this.#records.includes(this.#chosen)) return;
    const unmarked = this.#records.filter(({ failure, problem }) => failure === null && problem === null);
    const candidates = preferred(unmarked.length > 0 ? unmarked : this.#records);
    this.#chosen = drawCandidate(candidates, this.#random);
  }

  #keep(nowMs: number): EndpointRecord {
    const rank = this.#rank(this.#chosen, nowMs);
    if (rank === 0 && this.#balancer !== "least-latency") return this.#chosen;
    const best = this.#best(nowMs);
    if (this.#balancer === "least-latency") this.#chosen = fastest(preferred(best), this.#chosen);
    else if (!best.includes(this.#chosen)) this.#chosen = drawCandidate(preferred(best), this.#random);
    return this.#chosen;
  }

  /** The chosen one has failed: without a retry delay, too, another one has its turn. */
  #chooseAnother(nowMs: number): void {
    const others = this.#best(
      nowMs,
      this.#records.filter((record) => record !== this.#chosen),
    );
    const setAside = others.every((record) => this.#rank(record, nowMs) === RANK_SET_ASIDE);
    const [oldest = this.#chosen] = oldestFailureFirst(this.#records);
    this.#chosen = setAside ? oldest : drawCandidate(preferred(others), this.#random);
  }

  /** Those of the best rank that there is; of those set aside only the one that failed longest ago. */
  #best(nowMs: number, records = this.#records): readonly EndpointRecord[] {
    const ranks = records.map((record) => this.#rank(record, nowMs));
    const rank = Math.min(...ranks);
    const best = records.filter((_, index) => ranks[index] === rank);
    return rank === RANK_SET_ASIDE ? oldestFailureFirst(best).slice(0, 1) : best;
  }

  #rank({ failure, problem }: EndpointRecord, nowMs: number): 0 | 1 | 2 | 3 {
    if (failure !== null && nowMs - failure.failedMs < this.#retryDelayMs) return RANK_SET_ASIDE;
    if (problem === null) return 0;
    return problem.kind === "unfit" ? 1 : 2;
  }
}

const STATES: readonly EndpointState[] = ["fit", "unfit", "silent", "failed"];

function newRecord(endpoint: Endpoint): EndpointRecord {
  return { endpoint, failure: null, problem: null, latencyMs: null, owedTurns: 0 };
}

function byName(records: readonly EndpointRecord[]): ReadonlyMap<string, EndpointRecord> {
  return new Map(records.map((record) => [record.endpoint.name, record]));
}

/** Those of the lowest priority number. */
function preferred(records: readonly EndpointRecord[]): readonly EndpointRecord[] {
  const lowest = Math.min(...records.map(({ endpoint }) => endpoint.priority));
  return records.filter(({ endpoint }) => endpoint.priority === lowest);
}

function oldestFailureFirst(records: readonly EndpointRecord[]): EndpointRecord[] {
  return records.toSorted((a, b) => (a.failure?.sequence ?? -1) - (b.failure?.sequence ?? -1));
}

function requireSome(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  if (endpoints.length === 0) throw new RangeError("a choice needs at least one endpoint");
  return endpoints;
}
