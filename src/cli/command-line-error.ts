/**
 * What is wrong with a command line, or with what it asks for, as the one line that the operator reads on stderr.
 * Stands between everything that judges the operator's words and the process's exit.
 *
 * Invariant: `line` is a single line, names the flag, value, command or file it is about, and says what to do.
 */

/** Ends the process with exit status 1 after `line` was written to stderr. No stack trace is shown. */
export class CommandLineError extends Error {
  readonly line: string;

  constructor(line: string) {
    super(line);
    this.name = "CommandLineError";
    this.line = line.replaceAll(/\s*[\r\n]+\s*/g, " ");
  }
}

/** A mistake in how the program was called, as `etcdproxy: <text>`. */
export function usageError(text: string): CommandLineError {
  return new CommandLineError(`etcdproxy: ${text}`);
}

/** The operator's own word in an error line: in double quotes, with control characters escaped. */
export function quoted(word: string): string {
  return JSON.stringify(word);
}
