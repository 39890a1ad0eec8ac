/**
 * The flags that say what is logged and how: `--log-level`, `--log-format` and `--debug`.
 * Stands between their text and the logger, for the main thread and, through it, for the workers.
 */
import type { Logger, LoggerOptions, LogLevel } from "../observe/log.ts";
import { quoted, usageError } from "./command-line-error.ts";
import { suggestName } from "./suggestion.ts";

export interface LoggingFlags {
  readonly logLevel: string;
  readonly logFormat: string;
  readonly debug: boolean;
}

/** How a thread of the process logs. */
export type LogSettings = Pick<LoggerOptions, "level" | "output" | "colours">;

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const LEVEL_DEFAULT: LogLevel = "info";
/** Levels of etcd that are above all we have: etcd ends with such a line, which we never do. */
const FATAL_LEVELS = ["panic", "dpanic", "fatal"];

const FORMATS = ["auto", "json", "readable"] as const;
type Format = (typeof FORMATS)[number];
/** etcd's word for lines for people. */
const ETCD_READABLE = "console";

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
  const format = formatOf(flags.logFormat);
  const readable = format === "readable" || (format === "auto" && terminal);
  const plain = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return { level, output: readable ? "readable" : "json", colours: readable && terminal && !plain };
}

/** The default level cannot be told from the same one written out: with `--debug` both mean debug. */
function levelOf({ logLevel, debug }: LoggingFlags): LogLevel {
  const level = LEVELS.find((name) => name === asWritten(logLevel));
  if (level === undefined) throw usageError(`--log-level ${quoted(logLevel)} ${levelAdvice(logLevel)}`);
  if (!debug) return level;
  if (level !== LEVEL_DEFAULT && level !== "debug") {
    throw usageError(`--debug and --log-level=${level} contradict each other: leave one of them out`);
  }
  return "debug";
}

function levelAdvice(text: string): string {
  if (FATAL_LEVELS.includes(asWritten(text))) return "is a level that nothing is logged at: use error";
  const suggestion = suggestName(text, LEVELS);
  return `is unknown: ${suggestion === undefined ? `use ${LEVELS.join(", ")}` : `did you mean ${suggestion}?`}`;
}

function formatOf(text: string): Format {
  const format = text === ETCD_READABLE ? "readable" : FORMATS.find((name) => name === text);
  if (format !== undefined) return format;
  const suggestion = suggestName(text, FORMATS);
  const advice = suggestion === undefined ? `use ${FORMATS.join(", ")}` : `did you mean ${suggestion}?`;
  throw usageError(`--log-format ${quoted(text)} is unknown: ${advice}`);
}

/** etcd takes its levels in small letters and in capitals. */
function asWritten(text: string): string {
  return text === text.toUpperCase() ? text.toLowerCase() : text;
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
