/** What memory a process has ever held at once, by the kernel's count. */
import { readFileSync, writeFileSync } from "node:fs";

/** The peak of its resident memory since the start, or since `forgetPeak` (VmHWM of /proc). */
export function peakBytes(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (match === null) throw new Error(`process ${pid} has no VmHWM: it has exited`);
  return Number(match[1]) * 1024;
}

/** Lets the peak begin anew at what is resident now; returns that. */
export function forgetPeak(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  return peakBytes(pid);
}

export const MIB = 1024 * 1024;
