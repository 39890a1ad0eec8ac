/**
 * Which TCP connections a process has, as the kernel tells them (/proc/<pid>/fd and /proc/net/tcp).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const ESTABLISHED = "01";

/** How many connections the process has to the loopback address `host:port`. */
export function connectionsTo(pid: number, endpoint: string): number {
  const inodes = socketInodes(pid);
  const port = Number(endpoint.split(":").at(-1)).toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").trimEnd().split("\n").slice(1);
  return lines.filter((line) => {
    const [, , remote = "", state, , , , , , inode = ""] = line.trim().split(/\s+/);
    return remote.endsWith(`:${port}`) && state === ESTABLISHED && inodes.has(inode);
  }).length;
}

function socketInodes(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`)) ?? [];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // Closed since the folder was read.
    }
  }
  return inodes;
}
