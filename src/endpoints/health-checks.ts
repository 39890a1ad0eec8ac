/**
 * Checks of every endpoint, all the time: which of them serve now.
 *
 * Stands between a probe, which knows how to ask one endpoint, and the choice of endpoints, which is told each verdict. A
 * single bad answer is no verdict yet: it is confirmed by a second probe, sent soon, so that a pause of a member or an
 * election costs nobody his connection, and a member that has stopped is still left in time:
 *
 *     stops here
 *     ──┬────────── 1 s ──────────┬──── ½ s ────┬──── ½ s ────┬──── ½ s ────┐
 *       last good answer          probe         second probe  first is late  second is late: silent, after 2.5 s
 *
 * An endpoint that was bad has to answer twice before it is good again. Time that this process itself has lost, because
 * it was stopped or busy, speaks against no endpoint.
 */
import type { Timers } from "../base/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Verdict } from "./endpoint-report.ts";

/** What one probe has found; `unknown`: this process could not ask, for want of files, say. */
export type ProbeResult = Verdict | { readonly kind: "unknown" };

/** How to ask an endpoint. */
export interface Probe {
  /**
   * Asks once; `done` is called once, later than `start` returns, unless the probe is given up. It keeps no time: that is
   * done here. Returns what gives it up.
   */
  start(endpoint: Endpoint, done: (result: ProbeResult) => void): () => void;
  /** Whether an endpoint that was well when asked last is worth another question now; without it, always. */
  isDue?(endpoint: Endpoint): boolean;
  /** The endpoint is checked no more: what is kept for it can go. */
  forget?(endpoint: Endpoint): void;
}

export interface HealthCheckTimes {
  /** The time between two probes of an endpoint. */
  readonly intervalMs: number;
  /** How long an endpoint may take to answer one. */
  readonly timeoutMs: number;
}

export interface HealthChecksOptions extends HealthCheckTimes {
  readonly probe: Probe;
  /** Told after each probe what is thought of the endpoint now. */
  readonly onVerdict: (endpoint: Endpoint, verdict: Verdict) => void;
  readonly clock: Timers;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
}

/** Many proxies that start together shall not ask together: each interval is shorter by up to this part. */
const JITTER_PART = 0.1;
/** Of the time-out: after this long without an answer, the second probe is sent. */
const DOUBT_PART = 0.5;
/** Of the interval: how soon an answer that speaks against the endpoint is asked for again. */
const CONFIRM_PART = 0.25;
/** Good answers in a row that make a bad endpoint good again. */
const GOOD_AGAIN = 2;
/** A timer that is late by more has lost its time in this process. */
const OWN_DELAY_MS = 250;

export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #checked = new Map<string, CheckedEndpoint>();
  #closed = false;

  constructor(endpoints: readonly Endpoint[], options: HealthChecksOptions) {
    this.#options = options;
    this.replace(endpoints);
  }

  /** Another list; endpoints on both are checked on as they were. */
  replace(endpoints: readonly Endpoint[]): void {
    if (this.#closed) return;
    const names = new Set(endpoints.map(({ name }) => name));
    for (const [name, checked] of this.#checked) {
      if (names.has(name)) continue;
      this.#checked.delete(name);
      checked.close();
    }
    for (const endpoint of endpoints) {
      const checked = this.#checked.get(endpoint.name);
      if (checked === undefined) {
        this.#checked.set(endpoint.name, new CheckedEndpoint(endpoint, this.#options));
      } else if (checked.endpoint.scheme !== endpoint.scheme) {
        checked.close();
        this.#checked.set(endpoint.name, new CheckedEndpoint(endpoint, this.#options));
      } else {
        checked.endpoint = endpoint;
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const checked of this.#checked.values()) checked.close();
    this.#checked.clear();
  }
}

class CheckedEndpoint {
  endpoint: Endpoint;
  readonly #options: HealthChecksOptions;
  /** What has been told last. */
  #verdict: Verdict["kind"] = "fit";
  #goodInARow = 0;
  /** The last result, where it was bad. */
  #bad: Verdict["kind"] | null = null;
  readonly #running = new Set<RunningProbe>();
  #cancelTimer = (): void => {};
  #closed = false;

  constructor(endpoint: Endpoint, options: HealthChecksOptions) {
    this.endpoint = endpoint;
    this.#options = options;
    // Those of one process are spread over the first part of the interval.
    this.#askAfter(options.random() * JITTER_PART * options.intervalMs);
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    for (const probe of this.#running) probe.giveUp();
    this.#options.probe.forget?.(this.endpoint);
  }

  #askAfter(delayMs: number): void {
    if (this.#closed) return;
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#ask());
  }

  #ask(): void {
    const isWell = this.#goodInARow > 0 && this.#verdict === "fit" && this.#running.size === 0;
    if (isWell && this.#options.probe.isDue?.(this.endpoint) === false) {
      this.#askAfter(this.#interval());
      return;
    }
    const probe = new RunningProbe(this.endpoint, this.#options, {
      answered: (result) => {
        // Whoever answers now answers the older questions too.
        for (const running of this.#running) running.giveUp();
        this.#running.clear();
        this.#take(result);
      },
      late: (reason, byOwnFault) => {
        this.#running.delete(probe);
        if (byOwnFault) this.#bad = null;
        else this.#take({ kind: "silent", reason, refused: false });
        if (byOwnFault && this.#running.size === 0) this.#askAfter(0);
      },
    });
    this.#running.add(probe);
    const firstInDoubt = this.#verdict === "fit" && this.#running.size === 1;
    if (firstInDoubt) this.#askAfter(this.#options.timeoutMs * DOUBT_PART);
    else this.#cancelTimer();
  }

  #take(result: ProbeResult): void {
    if (result.kind === "unknown") this.#askAfter(this.#interval());
    else if (result.kind === "fit") this.#takeGood(result);
    else this.#takeBad(result);
  }

  #takeGood(result: Verdict): void {
    this.#bad = null;
    this.#goodInARow++;
    this.#askAfter(this.#interval());
    if (this.#verdict !== "fit" && this.#goodInARow < GOOD_AGAIN) return;
    this.#verdict = "fit";
    this.#options.onVerdict(this.endpoint, result);
  }

  #takeBad(result: Exclude<Verdict, { kind: "fit" }>): void {
    this.#goodInARow = 0;
    // A refusal needs no second one: nobody pauses so.
    const refused = result.kind === "silent" && result.refused;
    const confirmed = refused || this.#bad === result.kind || this.#verdict === result.kind;
    this.#bad = result.kind;
    if (confirmed) {
      this.#verdict = result.kind;
      this.#options.onVerdict(this.endpoint, result);
    }
    if (this.#running.size > 0) return; // The second probe is under way.
    this.#askAfter(confirmed ? this.#interval() : this.#options.intervalMs * CONFIRM_PART);
  }

  #interval(): number {
    return this.#options.intervalMs * (1 - JITTER_PART * this.#options.random());
  }
}

interface ProbeOwner {
  answered(result: ProbeResult): void;
  /** No answer in time; `byOwnFault`: the time was lost in this process. */
  late(reason: string, byOwnFault: boolean): void;
}

/** One probe and its time-out: exactly one of its owner's two is called, unless it is given up. */
class RunningProbe {
  readonly #cancelTimer: () => void;
  readonly #giveUpProbe: () => void;

  constructor(endpoint: Endpoint, { probe, clock, timeoutMs }: HealthChecksOptions, owner: ProbeOwner) {
    const dueMs = clock.nowMs() + timeoutMs;
    this.#cancelTimer = clock.after(timeoutMs, () => {
      this.#giveUpProbe();
      owner.late(`no answer to a check within ${timeoutMs} ms`, clock.nowMs() - dueMs > OWN_DELAY_MS);
    });
    this.#giveUpProbe = probe.start(endpoint, (result) => {
      this.#cancelTimer();
      owner.answered(result);
    });
  }

  giveUp(): void {
    this.#cancelTimer();
    this.#giveUpProbe();
  }
}
