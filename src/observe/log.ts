/**
 * The log: one line for each thing that an operator may want to know, on stderr.
 * Stands between every layer that is allowed to log (never hpack or http2) and pino.
 *
 * JSON lines have the fields of etcd's own log in its order (level, ts, caller, msg, then the rest), so that what reads
 * etcd's log reads this one; on a terminal the same lines come out readable.
 *
 * Invariant: logging never throws, whatever is in the fields and whatever becomes of stderr. No field carries a secret:
 * callers log addresses, names and counts, never metadata values, keys or message bytes.
 */
import pino from "pino";
import type { LogDestination } from "./log-destination.ts";
import { readableLines } from "./readable-lines.ts";
import { openStderr } from "./stderr.ts";

/** Names of the levels, least severe first. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where a part of the program writes its lines. A field that is an Error shows as its message. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** The same log under another `caller`. */
  child(caller: string): Logger;
  /** Whether debug lines are written: lets a hot path skip building their fields. */
  readonly debugEnabled: boolean;
  /** The same of info lines. */
  readonly infoEnabled: boolean;
}

/** How and where a log is written. */
export interface LoggerOptions {
  /** Lines below this level are dropped. */
  readonly level: LogLevel;
  /** `json` for machines, `readable` for a terminal. */
  readonly output: "json" | "readable";
  /** Readable lines have colours. */
  readonly colours?: boolean | undefined;
  /** Which of several workers writes: each line tells it as `worker`. Absent where there are none. */
  readonly worker?: number | undefined;
  /** Stderr when absent. */
  readonly destination?: LogDestination;
  /** The time that a line carries; the system's clock when absent. */
  readonly now?: () => Date;
}

/** The names that every line has already; a field of the same name gets an underscore behind it. */
const reservedNames = new Set(["level", "ts", "caller", "msg"]);

/** Starts a log whose `caller` is `etcdproxy`; each part of the program takes a {@link Logger.child} of it. */
export function createLogger(options: LoggerOptions): Logger {
  const { level, output, now = () => new Date() } = options;
  const destination = options.destination ?? openStderr({ onLeftOut: (lines) => tellOfLeftOut(log, lines) });
  const root = pino(
    {
      level,
      base: null,
      timestamp: () => `,"ts":"${now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    output === "readable" ? readableLines(destination, options.colours === true) : destination,
  );
  const log = new PinoLogger(root, "etcdproxy", options.worker);
  return log;
}

function tellOfLeftOut(log: Logger, lines: number): void {
  log.warn("log lines were left out: stderr took them too slowly", { lines });
}

class PinoLogger implements Logger {
  readonly #root: pino.Logger;
  readonly #named: pino.Logger;
  readonly #worker: number | undefined;
  readonly debugEnabled: boolean;
  readonly infoEnabled: boolean;

  constructor(root: pino.Logger, caller: string, worker: number | undefined) {
    this.#root = root;
    this.#worker = worker;
    this.#named = root.child({ caller });
    this.debugEnabled = root.isLevelEnabled("debug");
    this.infoEnabled = root.isLevelEnabled("info");
  }

  debug(message: string, fields?: Record<string, unknown>): void {
    if (this.debugEnabled) this.#write("debug", message, fields);
  }

  info(message: string, fields?: Record<string, unknown>): void {
    if (this.infoEnabled) this.#write("info", message, fields);
  }

  warn(message: string, fields?: Record<string, unknown>): void {
    this.#write("warn", message, fields);
  }

  error(message: string, fields?: Record<string, unknown>): void {
    this.#write("error", message, fields);
  }

  child(caller: string): Logger {
    return new PinoLogger(this.#root, caller, this.#worker);
  }

  #write(level: LogLevel, message: string, fields: Record<string, unknown> = {}): void {
    // The message goes in as a field: pino writes fields in the order they come, but its own message last.
    const line: Record<string, unknown> = { msg: message };
    if (this.#worker !== undefined) line["worker"] = this.#worker;
    try {
      for (const [name, value] of Object.entries(fields)) {
        line[reservedNames.has(name) ? `${name}_` : name] = loggable(value);
      }
      this.#named[level](line);
    } catch {
      // A field that cannot even be looked at (a throwing getter) loses its line, not the call that logged it.
    }
  }
}

function loggable(value: unknown): unknown {
  if (value instanceof Error) return value.message === "" ? value.name : value.message;
  if (Array.isArray(value)) return value.map(loggable);
  return value;
}
