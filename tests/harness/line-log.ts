/**
 * The lines that a process writes to one of its streams, kept as they come and awaitable.
 *
 * Stands between a child's pipe and a test that waits for "the line which says …". The pipe is always
 * drained, so the child never blocks on its own output; only the newest `LINES_MAX` lines are kept.
 */
import { withDeadline } from "./wait-for.ts";

const LINES_MAX = 10_000;

export class LineLog {
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  /** How many of the oldest lines are gone. */
  #dropped = 0;
  /** Index, counted from the first line ever, of the line that `next()` returns. */
  #cursor = 0;
  #ended = false;
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>;

  /** @param name whose lines these are, for failures. */
  constructor(name: string, stream: ReadableStream<Uint8Array>) {
    this.#name = name;
    this.ended = this.#drain(stream);
  }

  /** The lines kept so far, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  get text(): string {
    return this.#lines.join("\n");
  }

  /** The next line that no call of `next` has returned yet. Fails when the stream ends without one. */
  async next(deadlineMs?: number): Promise<string> {
    const line = await this.#await(
      () => this.#lines[this.#cursor - this.#dropped],
      "another line",
      deadlineMs,
    );
    this.#cursor++;
    return line;
  }

  /**
   * The first value that `choose` makes of any line, past or future.
   *
   * @param what the line in words, for the failure, which also shows the newest lines.
   */
  find<Value>(
    what: string,
    choose: (line: string) => Value | undefined,
    deadlineMs?: number,
  ): Promise<NonNullable<Value>> {
    let seen = 0;
    return this.#await(
      () => {
        seen = Math.max(seen, this.#dropped);
        while (seen - this.#dropped < this.#lines.length) {
          const chosen = choose(this.#lines[seen++ - this.#dropped] as string);
          if (chosen !== undefined && chosen !== null) return chosen;
        }
        return undefined;
      },
      what,
      deadlineMs,
    );
  }

  async #await<Value>(
    look: () => Value | undefined,
    what: string,
    deadlineMs: number | undefined,
  ): Promise<NonNullable<Value>> {
    let wake: (() => void) | undefined;
    const found = new Promise<NonNullable<Value>>((resolve, reject) => {
      wake = () => {
        const value = look();
        if (value !== undefined && value !== null) resolve(value);
        else if (this.#ended)
          reject(new Error(`${this.#name} ended before ${what}; it wrote:\n${this.#tail()}`));
      };
      this.#waiting.add(wake);
      wake();
    });
    try {
      return await withDeadline(
        found,
        () => `${what} from ${this.#name}; it wrote:\n${this.#tail()}`,
        deadlineMs,
      );
    } finally {
      if (wake !== undefined) this.#waiting.delete(wake);
    }
  }

  #tail(): string {
    return this.#lines.length === 0 ? "(nothing)" : this.#lines.slice(-20).join("\n");
  }

  #append(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) {
      this.#lines.shift();
      this.#dropped++;
    }
    for (const wake of this.#waiting) wake();
  }

  async #drain(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of stream) {
        const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = parts.pop() ?? "";
        for (const line of parts) this.#append(line);
      }
    } finally {
      if (rest !== "") this.#append(rest);
      this.#ended = true;
      for (const wake of this.#waiting) wake();
    }
  }
}
