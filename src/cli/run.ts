/**
 * The program: does what the command line asks, and says with which exit status to end.
 * Stands between main.ts and everything else; the only place that decides what goes to stdout and stderr besides the log.
 *
 * Invariant: whatever fails before clients are served ends as one line on stderr and exit status 1, without a stack trace.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { createLogger, type Logger } from "../observe/log.ts";
import { parseCommandLine } from "./command-line.ts";
import { CommandLineError, usageError } from "./command-line-error.ts";
import { type RunningProduct, serveUntilSignal } from "./lifecycle.ts";
import { startGatewayProduct } from "./start-gateway.ts";
import { startGrpcProxyProduct } from "./start-grpc-proxy.ts";
import { versionText } from "./version.ts";

const stdoutFileDescriptor = 1;
const stderrFileDescriptor = 2;

/**
 * Runs a command to its end; a product runs until a signal stops it.
 *
 * @param words the command line behind the program's name
 * @returns the exit status
 */
export async function run(words: readonly string[]): Promise<number> {
  try {
    const terminalColumns = isatty(stdoutFileDescriptor) ? process.stdout.columns : undefined;
    const invocation = parseCommandLine(words, terminalColumns);
    switch (invocation.command) {
      case "help":
        print(invocation.asked ? stdoutFileDescriptor : stderrFileDescriptor, invocation.text);
        return invocation.asked ? 0 : 1;
      case "version":
        print(stdoutFileDescriptor, versionText());
        return 0;
      case "gateway":
        await serve("gateway", invocation.flags.debug, (log) => startGatewayProduct(invocation.flags, log));
        return 0;
      case "grpc-proxy":
        await serve("grpc-proxy", invocation.flags.debug, (log) =>
          startGrpcProxyProduct(invocation.flags, log),
        );
        return 0;
    }
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    print(stderrFileDescriptor, `${error.line}\n`);
    return 1;
  }
}

async function serve(
  product: string,
  debug: boolean,
  start: (log: Logger) => Promise<RunningProduct>,
): Promise<void> {
  const log = createLogger({
    level: debug ? "debug" : "info",
    output: isatty(stderrFileDescriptor) ? "readable" : "json",
  });
  try {
    await serveUntilSignal(() => start(log), log);
  } catch (error) {
    if (error instanceof CommandLineError) throw error;
    log.debug("failed", { error, stack: error instanceof Error ? error.stack : undefined });
    throw usageError(`the ${product} failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Written at once, so that nothing is lost when the process ends; a reader that has gone is no error. */
function print(fileDescriptor: number, text: string): void {
  try {
    writeSync(fileDescriptor, text);
  } catch {
    // Nobody reads it, and there is nowhere else to say so.
  }
}
