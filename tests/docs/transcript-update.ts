/**
 * A page with other outputs in it than it had: what `ETCDPROXY_TEST_UPDATE_DOCS=1` writes.
 */
import type { TranscriptStep } from "../readme-file.ts";

export class TranscriptUpdate {
  readonly #lines: string[];
  /** How many lines more than at first stand above what has been replaced. */
  #shift = 0;

  constructor(text: string) {
    this.#lines = text.split("\n");
  }

  get text(): string {
    return this.#lines.join("\n");
  }

  /** Puts `lines` in place of what `step` printed. Steps come in the order of the page. */
  replace(step: TranscriptStep, lines: readonly string[]): void {
    this.#lines.splice(step.lineNumber + this.#shift, step.printed.length, ...lines);
    this.#shift += lines.length - step.printed.length;
  }
}
