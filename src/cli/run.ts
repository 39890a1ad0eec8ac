/**
 * The program: does what the command line asks, and says with which exit status to end.
 * Stands between main.ts and everything else; the only place that decides what goes to stdout and stderr besides the log.
 *
 * Invariant: whatever fails before clients are served ends as one line on stderr and exit status 1, without a stack trace.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { createLogger, type Logger } from "../observe/log.ts";
import { checkConfig } from "./check-config.ts";
import { parseCommandLine } from "./command-line.ts";
import { CommandLineError, usageError } from "./command-line-error.ts";
import { completionScript } from "./completion.ts";
import { type EarlyProduct, type LifeWitness, type RunningProduct, serveUntilSignal } from "./lifecycle.ts";
import { type LoggingFlags, loggingOptions, type LogSettings } from "./logging-flags.ts";
import { manPage } from "./man-page.ts";
import { settle } from "./settings.ts";
import { startGatewayProduct } from "./start-gateway.ts";
import { startGrpcProxyProduct } from "./start-grpc-proxy.ts";
import { servingRemarks, startRemarks } from "./start-remarks.ts";
import type { ValueOrigins } from "./value-origin.ts";
import { versionText } from "./version.ts";
import type { ProductFlags } from "./worker-messages.ts";

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
      case "completion":
        print(stdoutFileDescriptor, completionScript(invocation.shell));
        return 0;
      case "man":
        print(stdoutFileDescriptor, manPage());
        return 0;
      case "check-config": {
        const { report, error } = await checkConfig(await settle(invocation.product, process.env));
        print(stdoutFileDescriptor, report);
        if (error !== null) throw error;
        return 0;
      }
      case "gateway":
      case "grpc-proxy": {
        const { serve: what, origins } = await settle(invocation, process.env);
        await serve(what, origins);
        return 0;
      }
    }
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    print(stderrFileDescriptor, `${error.line}\n`);
    return 1;
  }
}

async function serve(what: ProductFlags, origins: ValueOrigins): Promise<void> {
  const logged = logSettings(what.flags, origins);
  const log = createLogger(logged);
  for (const remark of startRemarks(what, origins, log)) log.warn(remark);
  try {
    const manager = await serviceManager(what.flags.drainTimeoutMs, log);
    const startAndRemark = async (early: (product: EarlyProduct) => void): Promise<RunningProduct> => {
      const product = await start(what, log, logged, early);
      for (const remark of servingRemarks(what, origins)) log.warn(remark);
      return product;
    };
    await serveUntilSignal(startAndRemark, log, manager);
  } catch (error) {
    if (error instanceof CommandLineError) throw origins.explain(error);
    log.debug("failed", { error, stack: error instanceof Error ? error.stack : undefined });
    throw usageError(`the ${what.product} failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function logSettings(flags: LoggingFlags, origins: ValueOrigins): LogSettings {
  try {
    return loggingOptions(flags, isatty(stderrFileDescriptor), process.env);
  } catch (error) {
    throw error instanceof CommandLineError ? origins.explain(error) : error;
  }
}

/** What to tell how far the process is; null where nobody asked for it. */
async function serviceManager(drainTimeoutMs: number, log: Logger): Promise<LifeWitness | null> {
  if ((process.env["NOTIFY_SOCKET"] ?? "") === "") return null;
  const { ServiceManager } = await import("./service-manager.ts");
  return ServiceManager.open(process.env, drainTimeoutMs, log.child("service-manager"));
}

async function start(
  what: ProductFlags,
  log: Logger,
  logged: LogSettings,
  early: (product: EarlyProduct) => void,
): Promise<RunningProduct> {
  if (what.flags.workers > 1) {
    const { startWorkers } = await import("./start-workers.ts");
    return await startWorkers(what, log, logged, early);
  }
  return what.product === "gateway"
    ? await startGatewayProduct(what.flags, log)
    : await startGrpcProxyProduct(what.flags, log);
}

/** Written at once, so that nothing is lost when the process ends; a reader that has gone is no error. */
function print(fileDescriptor: number, text: string): void {
  try {
    writeSync(fileDescriptor, text);
  } catch {
    // Nobody reads it, and there is nowhere else to say so.
  }
}
