/**
 * How many files the process has open, and how many connections its limit of them allows.
 *
 * Stands between the operating system and the bound on connections. Bun reports a connect that failed for want
 * of a file as ECONNREFUSED, so the limit must be kept before it is met.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";

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

let limitOfShells: number | undefined;

/**
 * The limit of open files; `Infinity` where there is none.
 *
 * @param limitsFile where Linux tells the limits of a process
 */
export function openFilesMax(limitsFile = "/proc/self/limits"): number {
  try {
    const limits = readFileSync(limitsFile, "utf8");
    return limitOf(/^Max open files +(\d+)/m.exec(limits)?.[1]);
  } catch {
    // macOS tells it to nobody but a process that asks for itself, so a shell of ours does, which has the same.
    limitOfShells ??= limitOf(Bun.spawnSync(["/bin/sh", "-c", "ulimit -n"]).stdout.toString());
    return limitOfShells;
  }
}

/** Anything but a number is "unlimited", in words. */
function limitOf(text: string | undefined): number {
  const limit = Number.parseInt(text ?? "", 10);
  return Number.isNaN(limit) ? Infinity : limit;
}

/** Has an entry for each file that is open: on Linux, and elsewhere, as on macOS. */
const OPEN_FILES = process.platform === "linux" ? "/proc/self/fd" : "/dev/fd";

/** The number of files, sockets included, that the process has open; NaN where the system does not tell. */
export function openFiles(): number {
  try {
    // Since Linux 6.2 the folder's size is their number, which spares a list of all of them.
    const { size } = statSync(OPEN_FILES);
    if (process.platform === "linux" && size > 0) return size;
    return readdirSync(OPEN_FILES).length - 1; // Without the one that is open to read the folder.
  } catch {
    return Number.NaN;
  }
}
