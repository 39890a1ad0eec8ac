/**
 * Warnings of something that is done again and again: a line is told when it comes up, not each time.
 */
import type { EndpointLog } from "./endpoint-list.ts";

export class NewsOnly {
  readonly #log: EndpointLog;
  #told: ReadonlySet<string>;

  /** `told`: what is known already. */
  constructor(log: EndpointLog, told: readonly string[] = []) {
    this.#log = log;
    this.#told = new Set(told);
  }

  /** Everything that there is to warn of now: what was among it the last time is not told again. */
  tell(warnings: readonly string[]): void {
    const now = new Set(warnings);
    for (const warning of now) if (!this.#told.has(warning)) this.#log.warn(warning);
    this.#told = now;
  }
}
