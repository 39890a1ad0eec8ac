/**
 * Gives memory back after a burst of work.
 *
 * The runtime collects garbage as it allocates, so a process that has done much at once and then rests keeps what
 * the burst left behind, for hours: several times what ten thousand new watches need. Here it is collected once the
 * burst is over: 10 to 20 ms, when nobody is waiting. A large process is left to the runtime, whose own collections
 * do not stop it for as long.
 */
import type { Clock } from "./clock.ts";

export interface BurstGarbageOptions {
  readonly clock: Clock;
  /** Pieces of work that make a burst. */
  readonly burst: number;
  /** Collects all garbage. */
  readonly collect: () => void;
}

/** How long there must be no work. */
const QUIET_MS = 1000;

export class BurstGarbage {
  readonly #options: BurstGarbageOptions;
  #work = 0;
  #workedAtMs = 0;
  #planned = false;

  constructor(options: BurstGarbageOptions) {
    this.#options = options;
  }

  /** A piece of work was done. */
  worked(): void {
    if (++this.#work < this.#options.burst) return;
    const { clock } = this.#options;
    this.#workedAtMs = clock.nowMs();
    if (this.#planned) return;
    this.#planned = true;
    this.#wait(QUIET_MS);
  }

  #wait(ms: number): void {
    const { clock, collect } = this.#options;
    clock.after(ms, () => {
      const leftMs = this.#workedAtMs + QUIET_MS - clock.nowMs();
      if (leftMs > 0) {
        this.#wait(leftMs);
        return;
      }
      this.#planned = false;
      this.#work = 0;
      collect();
    });
  }
}

/** Beyond this a full collection takes too long, in bytes of the whole process. */
const PROCESS_BYTES_MAX = 512 * 1024 * 1024;

/** Collects the process's garbage, unless the process is large. */
export function collectGarbage(): void {
  if (process.memoryUsage.rss() < PROCESS_BYTES_MAX) Bun.gc(true);
}
