/**
 * Where log lines end up: stderr, or whatever a test wants to look at.
 * Stands between the logger and the file descriptor.
 *
 * Invariant: writing to stderr never throws and never waits for a pipe's reader where the system lets it be avoided;
 * what cannot be written is kept up to a bound, then dropped.
 */
import pino from "pino";

/** Takes whole lines, each ending in a newline. */
export interface LogDestination {
  write(line: string): void;
}

const stderrFileDescriptor = 2;
const unwrittenBytesMax = 1024 * 1024;

/** Opens stderr for lines that are written at once, before the call that logs them returns. */
export function openStderr(): LogDestination {
  const stderr = pino.destination({
    dest: stderrFileDescriptor,
    sync: true,
    maxLength: unwrittenBytesMax,
    // A reader that does not keep up must not hold up the proxy: what does not fit is tried again with the next line.
    retryEAGAIN: () => false,
  });
  stderr.on("error", () => {
    // Stderr is gone or full, and there is nowhere else to say so.
  });
  return stderr;
}
