/**
 * Whether a history is linearizable: whether its operations, put in some order that agrees with their times, are
 * answered by the model as they were answered (Wing and Gong's search, with Lowe's memory of what was tried).
 *
 * An operation that changes nothing and was answered rightly can take effect at once: whatever order explains the
 * rest explains it without it too. So only changes make the search branch. With "revisions" the answers' revisions
 * are judged too, which tells most changes their place; with "values" they are left out of sight, and a history
 * is judged by its values alone.
 */
import { Bitset } from "./bitset.ts";
import { type EventEntry, EventList } from "./event-list.ts";
import { isAnswered, type Answered, type Operation } from "./history.ts";
import { execute, KvState } from "./kv-model.ts";
import {
  answerText,
  type Detail,
  pairsShown,
  type Pair,
  tellsChange,
  valuesWritten,
} from "./kv-operation.ts";
import { separateKeys } from "./separate-keys.ts";

/** A search that takes more executions of the model is given up. */
const STEPS_MAX = 3_000_000;
/**
 * How many changes of unknown outcome in a row are thought of, search after search. Few are nearly always enough, and
 * with all of them a search drowns in what might have happened before it doubts an earlier choice.
 */
const UNKNOWN_IN_A_ROW = [1, 2, Number.POSITIVE_INFINITY];

export interface CheckOptions {
  readonly detail: Detail;
  /** What the store held before; nothing by default. Every later change of the store must be in the history. */
  readonly initial?: KvState;
  readonly stepsMax?: number;
}

export type Verdict =
  | { readonly kind: "linearizable"; readonly steps: number }
  | {
      /** Undecided: there was no time to try every order. */
      readonly kind: "violation" | "undecided";
      readonly steps: number;
      /** The longest order that was found. */
      readonly order: readonly Operation[];
      /** What the store holds after it. */
      readonly state: KvState;
      /** The answered operations of which one would have to be next, and none can be. */
      readonly stuck: readonly Answered[];
    };

export function check(history: readonly Operation[], options: CheckOptions): Verdict {
  const { detail, initial = new KvState(), stepsMax = STEPS_MAX } = options;
  // Revisions belong to the store as a whole.
  const parts = detail === "values" ? separateKeys(history) : [history];
  let steps = 0;
  for (const part of parts) {
    let verdict: Verdict | undefined;
    for (const [place, unknownMax] of UNKNOWN_IN_A_ROW.entries()) {
      // No search may use up the time of those after it.
      const share = Math.ceil((stepsMax - steps) / (UNKNOWN_IN_A_ROW.length - place));
      verdict = new Search(part, { detail, initial, stepsMax: share, unknownMax }).run();
      steps += verdict.steps;
      if (verdict.kind === "linearizable") break;
    }
    if (verdict !== undefined && verdict.kind !== "linearizable") return { ...verdict, steps };
  }
  return { kind: "linearizable", steps };
}

/** A change whose outcome is not known. */
interface Unknown {
  readonly operation: Operation;
  readonly index: number;
  /** When an answer first shows what it wrote; Infinity: none does. */
  readonly seenMs: number;
  /** The revision that it must have made, for a value of its own was seen with it. */
  readonly seenRevision: number | undefined;
}

/** A change that can be the next: of an answered operation, or of one whose outcome is not known. */
interface Candidate {
  readonly state: KvState;
  readonly call?: EventEntry;
  readonly unknown?: Unknown;
}

/** A point of the search: what was put in order to get here, and what can be tried next. */
interface Frame {
  readonly state: KvState;
  /** The change that led here; absent at the beginning. */
  readonly taken: Candidate | undefined;
  /** The operations without a change that took effect right after it. */
  readonly absorbed: readonly EventEntry[];
  readonly candidates: readonly Candidate[];
  /** Changes of unknown outcome since the last operation that was answered. */
  readonly unknownInARow: number;
  next: number;
}

interface Limits extends Required<CheckOptions> {
  /** Changes of unknown outcome that may follow each other. */
  readonly unknownMax: number;
}

class Search {
  readonly #detail: Detail;
  readonly #initial: KvState;
  readonly #stepsMax: number;
  readonly #unknownMax: number;
  readonly #events: EventList;
  readonly #answers: readonly string[];
  readonly #unknown: readonly Unknown[];
  /** Revisions that answered operations made. */
  readonly #madeRevisions: ReadonlySet<number>;
  readonly #answeredDone: Bitset;
  readonly #unknownDone: Bitset;
  readonly #tried = new Set<string>();
  readonly #frames: Frame[] = [];
  #steps = 0;
  #done = 0;
  /** How many answered operations the longest order has, and that order. */
  #foundDone = -1;
  #found = { order: [] as Operation[], state: new KvState(), stuck: [] as Answered[] };

  constructor(history: readonly Operation[], limits: Limits) {
    const { detail, initial, stepsMax, unknownMax } = limits;
    const byCall = history.toSorted((left, right) => left.callMs - right.callMs);
    const answered = byCall.filter(isAnswered);
    this.#detail = detail;
    this.#initial = initial;
    this.#stepsMax = stepsMax;
    this.#unknownMax = unknownMax;
    this.#events = new EventList(answered);
    this.#answers = answered.map((operation) => this.#textOf(operation.outcome));
    this.#madeRevisions = new Set(
      answered.filter(({ outcome }) => tellsChange(outcome.answer)).map(({ outcome }) => outcome.revision),
    );
    this.#unknown = likelyFirst(byCall, answered, detail);
    this.#answeredDone = new Bitset(answered.length);
    this.#unknownDone = new Bitset(this.#unknown.length);
  }

  run(): Verdict {
    this.#enter(this.#initial, undefined);
    for (;;) {
      if (this.#events.first === undefined) return { kind: "linearizable", steps: this.#steps };
      const frame = this.#frames.at(-1);
      if (frame === undefined) return { kind: "violation", steps: this.#steps, ...this.#found };
      if (this.#steps > this.#stepsMax) {
        this.#remember();
        return { kind: "undecided", steps: this.#steps, ...this.#found };
      }
      const candidate = frame.candidates[frame.next++];
      if (candidate === undefined) this.#leave();
      else {
        this.#take(candidate);
        this.#enter(candidate.state, candidate);
      }
    }
  }

  #enter(state: KvState, taken: Candidate | undefined): void {
    const absorbed = this.#absorb(state);
    // One that must have made this revision is no guess.
    const certain = this.#detail === "revisions" && taken?.unknown?.seenRevision !== undefined;
    const known = absorbed.length > 0 || taken?.unknown === undefined || certain;
    const unknownInARow = known ? 0 : (this.#frames.at(-1)?.unknownInARow ?? 0) + 1;
    const row = Number.isFinite(this.#unknownMax) ? unknownInARow : 0;
    const id = `${this.#answeredDone.id}/${this.#unknownDone.id}/${row}/${state.id}`;
    const tried = this.#tried.has(id);
    this.#tried.add(id);
    const candidates = tried ? [] : this.#candidates(state, unknownInARow);
    this.#frames.push({ state, taken, absorbed, candidates, unknownInARow, next: 0 });
  }

  #leave(): void {
    this.#remember();
    const { taken, absorbed } = this.#frames.pop()!;
    for (const call of absorbed.toReversed()) this.#putBack(call);
    if (taken?.call !== undefined) this.#putBack(taken.call);
    if (taken?.unknown !== undefined) this.#unknownDone.delete(taken.unknown.index);
  }

  #take({ call, unknown }: Candidate): void {
    if (call !== undefined) this.#lift(call);
    if (unknown !== undefined) this.#unknownDone.add(unknown.index);
  }

  /** Puts every operation in order that is answered rightly in `state` and changes nothing. */
  #absorb(state: KvState): EventEntry[] {
    const absorbed: EventEntry[] = [];
    let entry = this.#events.first;
    while (entry?.kind === "call") {
      const call: EventEntry = entry;
      if (this.#after(state, call) === state) {
        // Its return goes with it, and may be what follows.
        entry = call.next === call.end ? call.end?.next : call.next;
        this.#lift(call);
        absorbed.push(call);
      } else entry = call.next;
    }
    return absorbed;
  }

  #candidates(state: KvState, unknownInARow: number): Candidate[] {
    const candidates: Candidate[] = [];
    for (const call of this.#events.eligible()) {
      const after = this.#after(state, call);
      if (after !== undefined) candidates.push({ state: after, call });
    }
    // Judged or not, revisions tell which order is worth the first try.
    candidates.sort((left, right) => madeBy(left) - madeBy(right));
    const revision = state.revision + 1;
    const strict = this.#detail === "revisions";
    if (strict && this.#madeRevisions.has(revision)) return candidates;
    const maker = strict ? this.#unknown.find(({ seenRevision }) => seenRevision === revision) : undefined;
    if (maker === undefined && unknownInARow >= this.#unknownMax) return candidates;
    const untilMs = this.#events.firstReturnMs;
    for (const unknown of maker === undefined ? this.#unknown : [maker]) {
      const { operation, index, seenRevision } = unknown;
      if (operation.callMs > untilMs || this.#unknownDone.has(index)) continue;
      if (strict && seenRevision !== undefined && seenRevision !== revision) continue;
      this.#steps++;
      const after = execute(state, operation.request).state;
      // One that changes nothing now need not take effect.
      if (after !== state) candidates.push({ state: after, unknown });
    }
    return candidates;
  }

  /** The state after an answered operation; undefined when it is not answered so in `state`. */
  #after(state: KvState, { operation, index }: EventEntry): KvState | undefined {
    if (this.#detail === "revisions") {
      const raised = operation.outcome.revision - state.revision;
      if (raised !== 0 && raised !== 1) return undefined;
    }
    this.#steps++;
    const { answer, state: after } = execute(state, operation.request);
    const text = this.#textOf({ answer, revision: after.revision });
    return text === this.#answers[index] ? after : undefined;
  }

  #textOf({ answer, revision }: Pick<Answered["outcome"], "answer" | "revision">): string {
    const text = answerText(answer, this.#detail);
    return this.#detail === "revisions" ? `${revision}: ${text}` : text;
  }

  #lift(call: EventEntry): void {
    this.#events.lift(call);
    this.#answeredDone.add(call.index);
    this.#done++;
  }

  #putBack(call: EventEntry): void {
    this.#events.unlift(call);
    this.#answeredDone.delete(call.index);
    this.#done--;
  }

  /** Keeps the present order if it is the longest so far. */
  #remember(): void {
    const state = this.#frames.at(-1)?.state;
    if (state === undefined || this.#done <= this.#foundDone) return;
    const order = this.#frames.flatMap(({ taken, absorbed }) => [
      ...(taken?.call === undefined ? [] : [taken.call.operation]),
      ...(taken?.unknown === undefined ? [] : [taken.unknown.operation]),
      ...absorbed.map(({ operation }) => operation),
    ]);
    const stuck = this.#events.eligible().map(({ operation }) => operation);
    this.#foundDone = this.#done;
    this.#found = { order, state, stuck };
  }
}

function madeBy({ call }: Candidate): number {
  return call?.operation.outcome.revision ?? 0;
}

/** The changes of unknown outcome, those first that must have happened: what they wrote was seen. */
function likelyFirst(
  byCall: readonly Operation[],
  answered: readonly Answered[],
  detail: Detail,
): readonly Unknown[] {
  const writers = new Map<string, number>();
  for (const { request } of byCall) {
    for (const value of valuesWritten(request)) writers.set(value, (writers.get(value) ?? 0) + 1);
  }
  const seen = new Map<string, { readonly atMs: number; readonly pair: Pair }>();
  for (const { outcome, returnMs } of answered.toSorted((left, right) => left.returnMs - right.returnMs)) {
    for (const pair of pairsShown(outcome.answer)) {
      if (!seen.has(pair.value)) seen.set(pair.value, { atMs: returnMs, pair });
    }
  }
  return byCall
    .filter((operation) => !isAnswered(operation))
    .map((operation) => {
      const first = valuesWritten(operation.request)
        .map((value) => (writers.get(value) === 1 ? seen.get(value) : undefined))
        .find((sighting) => sighting !== undefined);
      const made = operation.outcome.kind === "unknown" ? operation.outcome.madeRevision : undefined;
      const seenRevision = detail === "revisions" ? (made ?? first?.pair.modRevision) : undefined;
      return { operation, seenMs: first?.atMs ?? Number.POSITIVE_INFINITY, seenRevision };
    })
    .toSorted((left, right) => compareTimes(left.seenMs, right.seenMs))
    .map((unknown, index) => ({ ...unknown, index }));
}

function compareTimes(left: number, right: number): number {
  return left === right ? 0 : left - right;
}
