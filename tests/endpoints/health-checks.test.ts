import { describe, expect, test } from "bun:test";
import type { Verdict } from "../../src/endpoints/endpoint-report.ts";
import { createEndpoint, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { HealthChecks, type ProbeResult } from "../../src/endpoints/health-checks.ts";
import { FakeClock } from "../harness/fake-clock.ts";

const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 1_000;

const [a, b] = ["a", "b"].map((hostname) => createEndpoint("http", hostname, 1)) as [Endpoint, Endpoint];
const FIT = { kind: "fit", latencyMs: 5 } as const;
const LEADERLESS = { kind: "unfit", reason: "has no leader" } as const;
const REFUSED = { kind: "silent", reason: "connection refused", refused: true } as const;

/** Endpoints whose answers a test decides, and what the checks have told of them. */
class Scene {
  readonly clock = new FakeClock();
  readonly told: { readonly name: string; readonly verdict: Verdict; readonly atMs: number }[] = [];
  readonly forgotten: string[] = [];
  /** Whether endpoints that are well are worth a question. */
  due = true;
  /** What each endpoint answers at once; null: nothing. */
  readonly answers = new Map<string, ProbeResult | null>();
  asked = 0;
  /** What answers the probes that are neither answered nor given up. */
  readonly #pending = new Set<(answer: ProbeResult) => void>();
  readonly checks: HealthChecks;
  readonly #startMs = this.clock.nowMs();

  constructor(endpoints: readonly Endpoint[] = [a]) {
    this.checks = new HealthChecks(endpoints, {
      probe: {
        start: ({ hostname }, done) => {
          this.asked++;
          this.#pending.add(done);
          this.clock.endOfTurn(() => {
            const answer = this.answers.get(hostname) ?? null;
            if (answer !== null) this.#answer(done, answer);
          });
          return () => this.#pending.delete(done);
        },
        isDue: () => this.due,
        forget: ({ hostname }) => this.forgotten.push(hostname),
      },
      intervalMs: INTERVAL_MS,
      timeoutMs: TIMEOUT_MS,
      onVerdict: ({ hostname }, verdict) => {
        this.told.push({ name: hostname, verdict, atMs: this.clock.nowMs() - this.#startMs });
      },
      clock: this.clock,
      random: () => 0,
    });
  }

  get running(): number {
    return this.#pending.size;
  }

  /** Answers the probe that has waited longest. */
  answerOldest(answer: ProbeResult): void {
    const [oldest] = this.#pending;
    this.#answer(oldest!, answer);
  }

  #answer(done: (answer: ProbeResult) => void, answer: ProbeResult): void {
    if (this.#pending.delete(done)) done(answer);
  }

  /** Verdicts since the last call. */
  news(): string[] {
    return this.told.splice(0).map(({ name, verdict }) => `${name} ${verdict.kind}`);
  }
}

describe("an endpoint that answers", () => {
  test("is asked once in each interval, and is told to be fit each time", () => {
    const scene = new Scene();
    scene.answers.set("a", FIT);
    scene.clock.advance(0);
    scene.clock.advance(3 * INTERVAL_MS);
    expect(scene.told.map(({ atMs }) => atMs)).toEqual([0, 1_000, 2_000, 3_000]);
    expect(scene.running).toBe(0);
  });

  test("late, but in time, is fit, and the second question is given up", () => {
    const scene = new Scene();
    scene.clock.advance(0);
    scene.clock.advance(600);
    expect([scene.asked, scene.running]).toEqual([2, 2]);
    scene.answerOldest(FIT);
    expect(scene.news()).toEqual(["a fit"]);
    expect(scene.running).toBe(0);
  });
});

test("an endpoint that is well is not asked while that is not worth it; one that is not well is", () => {
  const scene = new Scene();
  scene.answers.set("a", FIT);
  scene.due = false;
  scene.clock.advance(5 * INTERVAL_MS);
  expect(scene.asked).toBe(1);
  scene.due = true;
  scene.answers.delete("a");
  scene.clock.advance(INTERVAL_MS);
  expect(scene.asked).toBe(2);
  scene.due = false;
  scene.news();
  scene.clock.advance(2 * TIMEOUT_MS);
  expect(scene.news()).toEqual(["a silent"]);
});

describe("an endpoint that falls silent", () => {
  test("is told to be silent two and a half seconds after its last answer", () => {
    const scene = new Scene();
    scene.answers.set("a", FIT);
    scene.clock.advance(0);
    scene.news();
    scene.answers.delete("a");
    scene.clock.advance(2_499);
    expect(scene.news()).toEqual([]);
    scene.clock.advance(1);
    expect(scene.news()).toEqual(["a silent"]);
  });

  test("and answers the second question in time is not told of", () => {
    const scene = new Scene();
    scene.clock.advance(0);
    scene.clock.advance(TIMEOUT_MS);
    // The first question has had no answer in time.
    expect([scene.asked, scene.running]).toEqual([2, 1]);
    scene.answerOldest(FIT);
    expect(scene.news()).toEqual(["a fit"]);
  });

  test("is asked on, one question at a time, and is fit again when it has answered two", () => {
    const scene = new Scene();
    scene.clock.advance(10_000);
    expect(new Set(scene.news())).toEqual(new Set(["a silent"]));
    expect(scene.running).toBeLessThanOrEqual(1);
    scene.answers.set("a", FIT);
    scene.clock.advance(2 * INTERVAL_MS);
    const before = scene.asked;
    expect(scene.news().filter((verdict) => verdict === "a fit").length).toBeLessThanOrEqual(1);
    scene.clock.advance(2 * INTERVAL_MS);
    expect(scene.asked).toBe(before + 2);
    expect(scene.news()).toContain("a fit");
  });

  test("only because this process was stopped is asked again, and not told of", () => {
    const scene = new Scene();
    scene.clock.advance(0);
    scene.clock.advance(400);
    // All timers are due at once, and late.
    scene.clock.sleep(60_000);
    scene.clock.advance(0);
    expect(scene.news()).toEqual([]);
    scene.answers.set("a", FIT);
    scene.clock.advance(INTERVAL_MS);
    expect(scene.news()).not.toContain("a silent");
  });
});

describe("an endpoint that speaks against itself", () => {
  test("is asked again soon, and told to be unfit when it says so twice", () => {
    const scene = new Scene();
    scene.answers.set("a", LEADERLESS);
    scene.clock.advance(0);
    expect(scene.news()).toEqual([]);
    scene.clock.advance(INTERVAL_MS / 4);
    expect(scene.news()).toEqual(["a unfit"]);
  });

  test("once, as in an election, is not told of", () => {
    const scene = new Scene();
    scene.answers.set("a", LEADERLESS);
    scene.clock.advance(0);
    scene.answers.set("a", FIT);
    scene.clock.advance(INTERVAL_MS / 4);
    expect(scene.news()).toEqual(["a fit"]);
  });

  test("is silent at once where nobody listens", () => {
    const scene = new Scene();
    scene.answers.set("a", REFUSED);
    scene.clock.advance(0);
    expect(scene.news()).toEqual(["a silent"]);
  });

  test("is left as it was while this process cannot ask", () => {
    const scene = new Scene();
    scene.answers.set("a", { kind: "unknown" });
    scene.clock.advance(5 * INTERVAL_MS);
    expect(scene.news()).toEqual([]);
    expect(scene.asked).toBe(6);
  });
});

describe("another list", () => {
  test("ends the checks of who is gone, begins those of who is new, and leaves the others as they are", () => {
    const scene = new Scene([a]);
    scene.answers.set("a", FIT).set("b", REFUSED);
    scene.clock.advance(0);
    scene.news();
    scene.checks.replace([a, b]);
    scene.clock.advance(0);
    expect(scene.news()).toEqual(["b silent"]);
    scene.checks.replace([b]);
    expect(scene.forgotten).toEqual(["a"]);
    scene.clock.advance(INTERVAL_MS);
    expect(scene.news()).toEqual(["b silent"]);
  });

  test("of nobody, or the end of the checks, leaves no timer and no question", () => {
    const scene = new Scene([a, b]);
    scene.clock.advance(600);
    scene.checks.close();
    expect([scene.clock.timers, scene.running]).toEqual([0, 0]);
    scene.checks.replace([a]); // A lookup that was under way.
    expect(scene.clock.timers).toBe(0);
  });
});
