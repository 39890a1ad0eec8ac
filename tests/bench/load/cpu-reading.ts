/**
 * The processor time of all sides of a load, read before and after it: of the proxy, of etcd, and of the program
 * that puts the load on them, which is to cost less than what it measures.
 */
import { cpuMicros } from "../cpu-clock.ts";

/** Whose processor time is told; absent where it is not. */
export interface CpuSubjects {
  readonly proxyPid?: number;
  readonly etcdPid?: number;
}

/** Processor time in microseconds, each since its process began. */
export interface CpuReading {
  readonly proxy: number | undefined;
  readonly server: number | undefined;
  readonly client: number;
}

/** Processor time of one operation in microseconds. */
export interface CpuFigures {
  readonly proxyCpuMicros?: number | undefined;
  readonly serverCpuMicros?: number | undefined;
  readonly clientCpuMicros?: number | undefined;
}

export function readCpu({ proxyPid, etcdPid }: CpuSubjects): CpuReading {
  const { user, system } = process.cpuUsage();
  return {
    proxy: proxyPid === undefined ? undefined : cpuMicros(proxyPid),
    server: etcdPid === undefined ? undefined : cpuMicros(etcdPid),
    client: user + system,
  };
}

/** Spent between two readings, for each of `operations`. */
export function cpuFigures(before: CpuReading, after: CpuReading, operations: number): CpuFigures {
  const each = (then: number | undefined, now: number | undefined): number | undefined =>
    then === undefined || now === undefined || operations === 0 ? undefined : (now - then) / operations;
  return {
    proxyCpuMicros: each(before.proxy, after.proxy),
    serverCpuMicros: each(before.server, after.server),
    clientCpuMicros: each(before.client, after.client),
  };
}
