/**
 * The processor time of processes, from /proc: user and system time of all their threads, those that have
 * ended too. The kernel counts it in ticks of 10 ms, so what is measured should take many of them.
 */
import { readFileSync } from "node:fs";

/** USER_HZ: /proc counts in hundredths of a second on every Linux that Bun runs on, whatever the kernel's own. */
const TICKS_PER_SECOND = 100;

/** User and system time in a /proc/<pid>/stat, in microseconds (proc(5), fields 14 and 15). */
export function cpuMicrosOf(stat: string): number {
  // The second field is the name in parentheses, which may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (!Number.isFinite(ticks)) throw new Error(`no processor time in ${JSON.stringify(stat)}`);
  return (ticks * 1_000_000) / TICKS_PER_SECOND;
}

/** Processor time of the process `pid` since it began, in microseconds. @throws Error when it is gone. */
export function cpuMicros(pid: number): number {
  return cpuMicrosOf(readFileSync(`/proc/${pid}/stat`, "latin1"));
}

/** Memory that the process `pid` holds now (VmRSS), in bytes. @throws Error when it is gone. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  if (match === null) throw new Error(`process ${pid} has no VmRSS: it has exited`);
  return Number(match[1]) * 1024;
}
