/**
 * The memory of a process once it changes no more: what garbage collectors give back has been given back.
 */
import { readFileSync } from "node:fs";
import { waitFor } from "../harness/wait-for.ts";

const MEMORY_PROBE_MS = 250;
/** Memory is at rest when it has changed by less than this over `MEMORY_REST_PROBES` probes. */
const MEMORY_REST_BYTES = 1 << 20;
const MEMORY_REST_PROBES = 6;

/** What `read` tells of the process `pid` once it is at rest, in bytes. */
export async function resting(pid: number, read: (pid: number) => number): Promise<number> {
  const seen: number[] = [];
  return waitFor(
    `the memory of process ${pid} to come to rest`,
    () => {
      seen.push(read(pid));
      const recent = seen.slice(-MEMORY_REST_PROBES);
      const atRest = Math.max(...recent) - Math.min(...recent) < MEMORY_REST_BYTES;
      return recent.length === MEMORY_REST_PROBES && atRest ? recent.at(-1) : undefined;
    },
    { intervalMs: MEMORY_PROBE_MS },
  );
}

/** Memory of the process `pid`, of which what it shares with n others counts for an nth (Pss), in bytes. */
export function proportionalBytes(pid: number): number {
  const match = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"));
  if (match === null) throw new Error(`process ${pid} tells no Pss: it has exited`);
  return Number(match[1]) * 1024;
}
