/**
 * What the figures were taken with: programs, kernel, processor, and how busy the machine was before.
 */
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem } from "node:os";
import { etcdBinary } from "../harness/etcd-version.ts";
import { executable } from "../harness/etcdproxy-process.ts";
import { haproxyBinary, nginxBinary } from "./stage.ts";

export interface Versions {
  readonly etcdproxy: string;
  readonly etcd: string;
  readonly bun: string;
  readonly h2load: string;
  readonly haproxy: string;
  readonly nginx: string;
  readonly kernel: string;
  readonly processor: string;
  readonly memory: string;
  /** Load averages of the last 1, 5 and 15 minutes. */
  readonly loadBefore: readonly number[];
}

/** The first line that a program prints. */
function firstLine(command: readonly string[]): string {
  const { stdout, stderr } = Bun.spawnSync([...command]);
  return (stdout.toString() + stderr.toString()).split("\n")[0]?.trim() ?? "";
}

export function versions(): Versions {
  const haproxy = haproxyBinary();
  const nginx = nginxBinary();
  const model = /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown";
  return {
    etcdproxy: Bun.spawnSync([executable, "version"]).stdout.toString().trim().replaceAll("\n", ", "),
    etcd: firstLine([etcdBinary("etcd"), "--version"]),
    bun: `Bun ${Bun.version}`,
    h2load: firstLine(["h2load", "--version"]),
    haproxy: haproxy === null ? "not installed" : firstLine([haproxy, "-v"]),
    nginx: nginx === null ? "not installed" : firstLine([nginx, "-v"]),
    kernel: `Linux ${release()} ${arch()}`,
    processor: `${cpus().length} × ${model}`,
    memory: `${Math.round(totalmem() / 1024 ** 3)} GiB`,
    loadBefore: loadavg().map((load) => Math.round(load * 100) / 100),
  };
}
