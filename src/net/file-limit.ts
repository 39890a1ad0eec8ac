/**
 * How many connections the process's limit of open files allows.
 *
 * Stands between the operating system and the bound on connections. Bun reports a connect that failed for want
 * of a file as ECONNREFUSED, so the limit must be kept before it is met.
 */
import { readFileSync } from "node:fs";

/** Files kept for everything that is no connection: the runtime's own, logs, name lookups, dials left behind. */
const FILES_RESERVED = 128;

/**
 * The number of connections of `filesPerConnection` files each that may be open at once; at least 1.
 *
 * @param filesElsewhere files that the process keeps for other connections
 */
export function connectionsWithinFileLimit(filesPerConnection: number, filesElsewhere = 0): number {
  const left = openFilesMax() - FILES_RESERVED - filesElsewhere;
  return Math.max(1, Math.floor(left / filesPerConnection));
}

/** The limit of open files; `Infinity` where there is none. */
export function openFilesMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const soft = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? Infinity : Number(soft);
}
