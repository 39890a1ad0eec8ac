/**
 * The flags that say what is logged and how: `--log-level`, `--log-format` and `--debug`.
 * Stands between their text and the logger, for the main thread and, through it, for the workers.
 */
import type { Logger, LoggerOptions, LogLevel } from "../observe/log.ts";
import { usageError } from "./command-line-error.ts";

export interface LoggingFlags {
  readonly logLevel: LogLevel;
  readonly logFormat: "auto" | "json" | "readable";
  readonly debug: boolean;
}

/** How a thread of the process logs. */
export type LogSettings = Pick<LoggerOptions, "level" | "output" | "colours">;

const LEVEL_DEFAULT: LogLevel = "info";

/**
 * What the flags ask for. Throws `CommandLineError`.
 *
 * @param terminal stderr is one
 * @param environment the process's: `NO_COLOR` and `TERM` say whether a terminal is to be spared colours
 */
export function loggingOptions(
  flags: LoggingFlags,
  terminal: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): LogSettings {
  const level = levelOf(flags);
  const { logFormat } = flags;
  const readable = logFormat === "readable" || (logFormat === "auto" && terminal);
  const plain = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return { level, output: readable ? "readable" : "json", colours: readable && terminal && !plain };
}

/** The default level cannot be told from the same one written out: with `--debug` both mean debug. */
function levelOf({ logLevel, debug }: LoggingFlags): LogLevel {
  if (!debug) return logLevel;
  if (logLevel !== LEVEL_DEFAULT && logLevel !== "debug") {
    throw usageError(`--debug and --log-level=${logLevel} contradict each other: leave one of them out`);
  }
  return "debug";
}

export interface CallLogFlags {
  readonly experimentalEnableGrpcLogging: boolean;
  readonly grpcLoggingValues: boolean;
  readonly logLevel: string;
}

/** How calls are logged; undefined: not at all. `log` is what their lines would be written to. */
export function callLogFlags(
  flags: CallLogFlags,
  log: Pick<Logger, "infoEnabled">,
): { readonly values: boolean } | undefined {
  if (!flags.experimentalEnableGrpcLogging || !log.infoEnabled) return undefined;
  return { values: flags.grpcLoggingValues };
}

/** What of these flags has no effect, each a line for the log. */
export function unusedCallLogFlags(flags: CallLogFlags, log: Pick<Logger, "infoEnabled">): string[] {
  if (!flags.experimentalEnableGrpcLogging) {
    if (!flags.grpcLoggingValues) return [];
    return ["--grpc-logging-values is not used: calls are logged with --experimental-enable-grpc-logging"];
  }
  if (log.infoEnabled) return [];
  return [
    `--experimental-enable-grpc-logging is not used: its lines are of level info, below --log-level=${flags.logLevel}`,
  ];
}
