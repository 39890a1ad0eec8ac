/**
 * Log lines for people: time, level, caller, message, then the fields on the same line.
 * Stands between pino, which hands over JSON lines, and a terminal; runs in the process itself, without a worker.
 */
import pretty from "pino-pretty";
import type { LogDestination } from "./log-destination.ts";

/** Writes each JSON line that it gets to `destination` as `[10:31:07.250] INFO: [gateway] ready {"address":"…"}`. */
export function readableLines(destination: LogDestination, colours: boolean): LogDestination {
  const prettify = pretty.prettyFactory({
    colorize: colours,
    messageKey: "msg",
    timestampKey: "ts",
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "caller",
    messageFormat: ({ caller, msg }) => `[${printable(caller)}] ${printable(msg)}`,
    errorLikeObjectKeys: [],
    singleLine: true,
  });
  return {
    write(line: string): void {
      destination.write(prettify(line));
    },
  };
}

/** The text without what would move a terminal's cursor or break the line. */
function printable(text: unknown): string {
  return String(text).replaceAll(/\p{Cc}+/gu, " ");
}
