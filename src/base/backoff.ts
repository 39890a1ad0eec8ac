/** Growing pauses between attempts: each twice the last up to a limit, with jitter so that proxies do not march in step. */
export class Backoff {
  readonly #firstMs: number;
  readonly #limitMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: { firstMs: number; limitMs: number; random: () => number }) {
    this.#firstMs = options.firstMs;
    this.#limitMs = options.limitMs;
    this.#random = options.random;
  }

  /** The next pause in milliseconds: between half and the whole of the step. */
  next(): number {
    const stepMs = Math.min(this.#limitMs, this.#firstMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return stepMs * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
