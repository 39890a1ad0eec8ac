/**
 * What one run of `programs/kv-clients.ts` tells, as JSON for the bench and as a line for people.
 */
import type { CpuFigures } from "../load/cpu-reading.ts";
import { short } from "../table.ts";

export interface KvFigures extends CpuFigures {
  readonly calls: number;
  readonly reads: number;
  readonly elapsedSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** Range calls that reached etcd, for each read of the clients. */
  readonly upstreamCallsShare?: number;
}

export function kvFiguresLine(figures: KvFigures): string {
  const { calls, reads, elapsedSeconds, p50Micros, p99Micros, upstreamCallsShare } = figures;
  const cpu = (who: string, micros: number | undefined): string[] =>
    micros === undefined ? [] : [`${who} ${micros.toFixed(2)} µs`];
  return [
    `${short(calls / elapsedSeconds)} calls/s (${short(calls)} in ${short(elapsedSeconds)} s, ${short(reads)} of them reads)`,
    `p50 ${short(p50Micros)} µs`,
    `p99 ${short(p99Micros)} µs`,
    ...cpu("CPU each: proxy", figures.proxyCpuMicros),
    ...cpu("etcd", figures.serverCpuMicros),
    ...cpu("clients", figures.clientCpuMicros),
    ...(upstreamCallsShare === undefined ? [] : [`${short(upstreamCallsShare)} Range calls at etcd a read`]),
  ].join(", ");
}
