/**
 * Warnings of something that is done again and again: a line is told when it comes up, not each time.
 *
 * Some are made of what a member says: few are told at a time, and long ones are cut.
 */
import type { EndpointLog } from "./endpoint-list.ts";

/** Lines that are told at a time; the others are counted. */
const LINES_MAX = 20;
const LINE_LENGTH_MAX = 500;

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
    const news = [...now].filter((warning) => !this.#told.has(warning));
    for (const warning of news.slice(0, LINES_MAX)) this.#log.warn(shortened(warning));
    if (news.length > LINES_MAX) this.#log.warn(`${news.length - LINES_MAX} further warnings are left out`);
    this.#told = now;
  }
}

function shortened(text: string): string {
  return text.length > LINE_LENGTH_MAX ? `${text.slice(0, LINE_LENGTH_MAX)}…` : text;
}
