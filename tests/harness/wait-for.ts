/**
 * Waiting for a condition of the world outside this process: a member that is healthy, a stream count that
 * is back at zero. The one place of the tests that lets time pass; tests never sleep for a fixed time.
 *
 * Invariant: it returns only what the probe really saw, and a failure tells what it saw last.
 */

export interface WaitOptions {
  /** How long to go on probing before giving up. */
  readonly deadlineMs?: number;
  /** Pause between two probes. */
  readonly intervalMs?: number;
}

/** What a probe answers while the condition does not hold yet. */
export type NotYet = false | null | undefined;

const DEADLINE_MS = 30_000;
const INTERVAL_MS = 20;

/**
 * Probes until `probe` answers anything but `false`, `null` or `undefined`, and resolves to that answer.
 * A probe that throws counts as "not yet"; its error is told when the deadline passes.
 *
 * @param what the condition in words, for the failure: "waited 30000 ms for <what>".
 * @throws Error after `deadlineMs`, with the last answer or error of the probe.
 */
export async function waitFor<Answer>(
  what: string,
  probe: () => Answer | NotYet | Promise<Answer | NotYet>,
  options: WaitOptions = {},
): Promise<Exclude<Answer, NotYet>> {
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const giveUpAt = performance.now() + deadlineMs;
  for (;;) {
    let lastSeen: unknown;
    try {
      const answer = await probe();
      if (answer !== false && answer !== null && answer !== undefined) {
        return answer as Exclude<Answer, NotYet>;
      }
      lastSeen = answer;
    } catch (error) {
      lastSeen = error instanceof Error ? error.message : error;
    }
    if (performance.now() >= giveUpAt) {
      throw new Error(`waited ${deadlineMs} ms for ${what}; last seen: ${String(lastSeen)}`);
    }
    await Bun.sleep(options.intervalMs ?? INTERVAL_MS);
  }
}

/**
 * Resolves like `promise`, or fails once `deadlineMs` have passed.
 *
 * @param what what is awaited, in words, for the failure; called only then, so it can tell the latest state.
 */
export async function withDeadline<Value>(
  promise: Promise<Value>,
  what: () => string,
  deadlineMs: number = DEADLINE_MS,
): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what()}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}
