/**
 * Waiting for clients to finish before the process ends: for so long and no longer, and told of while it lasts.
 *
 * Stands between a product's `close()` and whatever it has open. It ends nothing itself: when the time is up, its caller
 * cuts what is left.
 */
import type { Logger } from "./log.ts";

export interface DrainOptions {
  /** How long clients may take, in milliseconds. 0: no time at all. */
  readonly timeoutMs: number;
  /** What is open now, by its name in the log; all zeros when nothing is. */
  readonly left: () => Readonly<Record<string, number>>;
  /** Tells clients to finish. Resolves when nothing is left, or never. */
  readonly finish: () => Promise<void>;
  readonly log: Logger;
}

/** How often the log tells what is still open. */
const PROGRESS_MS = 5_000;

/** Resolves when nothing is open any more, or when the time is up: what is left then is to be cut. */
export async function drained({ timeoutMs, left, finish, log }: DrainOptions): Promise<void> {
  const isLeft = (): boolean => Object.values(left()).some((count) => count > 0);
  const began = isLeft();
  const endsAtMs = performance.now() + timeoutMs;
  const secondsLeft = (): number => Math.max(0, Math.round((endsAtMs - performance.now()) / 1000));
  if (timeoutMs > 0) {
    if (began) log.info("draining: clients may finish", { ...left(), secondsLeft: secondsLeft() });
    const progress = setInterval(() => {
      if (isLeft()) log.info("draining", { ...left(), secondsLeft: secondsLeft() });
    }, PROGRESS_MS);
    const { promise: timeUp, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([finish(), timeUp]);
    clearTimeout(timer);
    clearInterval(progress);
  }
  if (isLeft()) log.warn("the drain timeout is over: what clients have open is cut", left());
  else if (began) log.info("drained: no client is left");
}
