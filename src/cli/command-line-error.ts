/**
 * What is wrong with a command line, or with what it asks for, as the one line that the operator reads on stderr.
 * Stands between everything that judges the operator's words and the process's exit.
 *
 * Invariant: `line` is a single line without control characters, which a terminal could obey; it names the flag, value,
 * command or file it is about, and says what to do.
 */

/** Control characters, and the separators that end a line for some readers. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029]/gu;

/** Ends the process with exit status 1 after `line` was written to stderr. No stack trace is shown. */
export class CommandLineError extends Error {
  readonly line: string;

  constructor(line: string) {
    super(line);
    this.name = "CommandLineError";
    this.line = line.replaceAll(/\s*[\r\n]+\s*/g, " ").replaceAll(UNPRINTABLE, escaped);
  }
}

/** As JSON writes it. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** A mistake in how the program was called, as `etcdproxy: <text>`. */
export function usageError(text: string): CommandLineError {
  return new CommandLineError(`etcdproxy: ${text}`);
}

/** What the operator has to change, as one of `kinds`, as an error of the command line; any other error as it is. */
export function asUsageError(
  error: unknown,
  kinds: readonly (abstract new (...given: never[]) => Error)[],
): unknown {
  return kinds.some((kind) => error instanceof kind) ? usageError((error as Error).message) : error;
}

/** The operator's own word in an error line: in double quotes, with control characters escaped. */
export function quoted(word: string): string {
  return JSON.stringify(word);
}
