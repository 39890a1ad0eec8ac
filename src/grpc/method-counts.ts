/**
 * What is counted of the calls of one method: how many began, how they ended, how long they took, their messages.
 *
 * Stands between a call, which knows what happens to it, and the metrics page, which reads the numbers when it is asked
 * for. Invariant: at any time, calls that began are those that ended and those that are open. Nothing is allocated
 * for a call, and the clock is read once for all that end in a turn.
 */
import { DurationHistogram } from "../base/duration-histogram.ts";
import { atEndOfTurn, type EndOfTurnWork } from "./end-of-turn.ts";
import { Code } from "./status.ts";

/** Codes are those of gRPC, whatever a member makes up: 0 to 16. */
const CODES = Code.UNAUTHENTICATED + 1;

export class MethodCounts {
  /** Calls that began. */
  started = 0;
  /** Messages of requests that have come whole. */
  messagesReceived = 0;
  /** Messages of answers that were given to the call whole. */
  messagesSent = 0;
  /** Calls that ended, by code. */
  readonly handled = new Float64Array(CODES);
  /** How long calls took that ended. */
  readonly durations = new DurationHistogram();
  readonly #ended: EndedCalls;

  constructor(ended: EndedCalls) {
    this.#ended = ended;
  }

  /** A call that began at `startedMs` of `performance.now()` has ended. Codes that gRPC does not know are UNKNOWN, as it says. */
  end(code: number, startedMs: number): void {
    this.handled[code >= 0 && code < CODES ? code : Code.UNKNOWN]!++;
    this.#ended.add(this, startedMs);
  }
}

/** Calls that wait for the end of the turn, at most: more of them are measured before. */
const ENDED_MAX = 1024;

/** Calls that have ended in this turn: how long they took is known when it ends, as their answers are written. */
export class EndedCalls implements EndOfTurnWork {
  readonly #methods: (MethodCounts | null)[] = Array.from({ length: ENDED_MAX }, () => null);
  readonly #startedMs = new Float64Array(ENDED_MAX);
  #count = 0;

  add(method: MethodCounts, startedMs: number): void {
    const at = this.#count++;
    this.#methods[at] = method;
    this.#startedMs[at] = startedMs;
    if (at === 0) atEndOfTurn(this);
    else if (at === ENDED_MAX - 1) this.settle();
  }

  onEndOfTurn(): void {
    this.settle();
  }

  /** All that have ended up to now are part of `durations` then. */
  settle(): void {
    if (this.#count === 0) return;
    const nowMs = performance.now();
    for (let at = 0; at < this.#count; at++) this.#methods[at]!.durations.add(nowMs - this.#startedMs[at]!);
    this.#count = 0;
  }
}
