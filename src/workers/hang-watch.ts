/**
 * Finds a worker that does nothing any more, though its thread lives: one in an endless loop.
 *
 *     answers ─> asked again at the next look        no answer at so many looks ─> it hangs        nor an end ─> it is stuck
 *
 * Stands between a worker of the pool and the question that any worker answers at once. Looks are counted, not seconds: the main
 * thread makes none while it is held up itself, as when the whole process is stopped or the machine sleeps.
 */

/** How often a worker is looked at, and how many looks in a row find it silent before it is given up. */
export interface HangLimits {
  readonly lookEveryMs: number;
  readonly silentLooksMax: number;
}

/** Half a minute. A worker's longest turn takes a hundredth of that. */
export const HANG_LIMITS: HangLimits = { lookEveryMs: 5_000, silentLooksMax: 6 };

export class HangWatch {
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #limits: HangLimits;
  readonly #ask: () => Promise<unknown>;
  readonly #onHang: () => void;
  #silentLooks = 0;
  #asked = false;
  #ended = false;

  /**
   * @param ask asks the worker; settles when it has answered, or has gone
   * @param onHang is called once, and is to end the worker
   */
  constructor(limits: HangLimits, ask: () => Promise<unknown>, onHang: () => void) {
    this.#limits = limits;
    this.#ask = ask;
    this.#onHang = onHang;
    this.#timer = setInterval(() => this.#look(), limits.lookEveryMs);
    this.#timer.unref();
  }

  /** It was to end as long ago as it takes to find that it hangs, and has not: only the end of the process ends it. */
  get isStuck(): boolean {
    return !this.#ended && this.#silentLooks >= 2 * this.#limits.silentLooksMax;
  }

  /** The worker has ended. */
  end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
  }

  #look(): void {
    if (!this.#asked) {
      void this.#askOnce();
      return;
    }
    this.#silentLooks++;
    if (this.#silentLooks === this.#limits.silentLooksMax) this.#onHang();
  }

  async #askOnce(): Promise<void> {
    this.#asked = true;
    await this.#ask().catch(() => null);
    this.#asked = false;
    this.#silentLooks = 0;
  }
}
