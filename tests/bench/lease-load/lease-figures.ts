/**
 * What one run of `programs/lease-clients.ts` tells, as JSON for the bench and as a line for people.
 */
import type { CpuFigures } from "../load/cpu-reading.ts";
import { short } from "../table.ts";

/** `paced`: every client's burst comes at its time; `burst`: as soon as its last one is answered. */
export type LeaseMode = "paced" | "burst";

export interface LeaseFigures extends CpuFigures {
  readonly mode: LeaseMode;
  readonly leases: number;
  readonly clients: number;
  /** Heartbeats sent while it was measured, and how many of them were answered in time. */
  readonly sent: number;
  readonly answered: number;
  readonly elapsedSeconds: number;
  /** Answers to no heartbeat. */
  readonly surplus: number;
  /** Answers that say a lease is gone. */
  readonly dead: number;
  /** Why streams ended, with their number; empty when all live. */
  readonly ended: Readonly<Record<string, number>>;
  readonly p50Micros?: number;
  readonly p99Micros?: number;
  /** Heartbeats that reached etcd, for each one of the clients. */
  readonly upstreamCallsShare: number;
  /** LeaseKeepAlive streams that the load opened at etcd. */
  readonly upstreamStreams: number;
}

/** What went wrong, in words; undefined when every heartbeat was answered once, and every lease lives. */
export function leaseFault({ sent, answered, surplus, dead, ended }: LeaseFigures): string | undefined {
  const faults = [
    ...(sent === 0 ? ["no heartbeat was sent"] : []),
    ...(answered === sent ? [] : [`${sent - answered} of ${sent} heartbeats are not answered`]),
    ...(surplus === 0 ? [] : [`${surplus} answers to no heartbeat`]),
    ...(dead === 0 ? [] : [`${dead} answers tell that a lease is gone`]),
    ...Object.entries(ended).map(([reason, streams]) => `${streams} streams ended: ${reason}`),
  ];
  return faults.length === 0 ? undefined : faults.join(", ");
}

export function leaseFiguresLine(figures: LeaseFigures): string {
  const { mode, leases, clients, sent, answered, elapsedSeconds, p50Micros, p99Micros } = figures;
  const cpu = (who: string, micros: number | undefined): string[] =>
    micros === undefined ? [] : [`${who} ${micros.toFixed(2)} µs`];
  return [
    `${mode}: ${short(leases)} leases of ${short(clients)} clients`,
    `${short(answered / elapsedSeconds)} heartbeats/s (${short(answered)} of ${short(sent)} in ${short(elapsedSeconds)} s)`,
    ...(p50Micros === undefined ? [] : [`p50 ${short(p50Micros / 1000)} ms`]),
    ...(p99Micros === undefined ? [] : [`p99 ${short(p99Micros / 1000)} ms`]),
    ...cpu("CPU each: proxy", figures.proxyCpuMicros),
    ...cpu("etcd", figures.serverCpuMicros),
    ...cpu("clients", figures.clientCpuMicros),
    `${short(figures.upstreamCallsShare)} at etcd each, on ${figures.upstreamStreams} streams`,
    ...[leaseFault(figures) ?? []].flat().map((fault) => `FAULT: ${fault}`),
  ].join(", ");
}
