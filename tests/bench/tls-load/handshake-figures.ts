/**
 * What one run of `programs/tls-clients.ts` tells, as JSON for the bench and as a line for people.
 */
import type { CpuFigures } from "../load/cpu-reading.ts";
import { short } from "../table.ts";

export interface HandshakeFigures extends CpuFigures {
  readonly handshakes: number;
  readonly elapsedSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

export function handshakeFiguresLine(figures: HandshakeFigures): string {
  const { handshakes, elapsedSeconds, p50Micros, p99Micros } = figures;
  const cpu = (who: string, micros: number | undefined): string[] =>
    micros === undefined ? [] : [`${who} ${short(micros)} µs`];
  return [
    `${short(handshakes / elapsedSeconds)} handshakes/s (${short(handshakes)} in ${short(elapsedSeconds)} s)`,
    `p50 ${short(p50Micros)} µs`,
    `p99 ${short(p99Micros)} µs`,
    ...cpu("CPU each: proxy", figures.proxyCpuMicros),
    ...cpu("etcd", figures.serverCpuMicros),
    ...cpu("clients", figures.clientCpuMicros),
  ].join(", ");
}
