/**
 * What one run of `programs/watch-clients.ts` tells, as JSON for the bench and as a line for people.
 */
import { short } from "../table.ts";

/** `create` opens the watches only, `memory` also waits until the proxy's memory is at rest. */
export type LoadMode = "burst" | "paced" | "create" | "memory";

export interface WatchFigures {
  readonly mode: LoadMode;
  /** How many were asked for. */
  readonly watches: number;
  readonly created: number;
  readonly createSeconds: number;
  /** By how much etcd's own count of watches grew. */
  readonly upstreamWatches: number;
  readonly puts?: number;
  readonly events?: number;
  readonly elapsedSeconds?: number;
  readonly missingEvents?: number;
  /** Watches that did not get exactly the events of their range. */
  readonly faultyWatches?: number;
  /** Why streams ended, with their number; empty when all live. */
  readonly ended?: Readonly<Record<string, number>>;
  readonly p50Micros?: number;
  readonly p99Micros?: number;
  /** Processor time of an event, or of a creation where only that was done. */
  readonly proxyCpuMicros?: number | undefined;
  readonly serverCpuMicros?: number | undefined;
  readonly clientCpuMicros?: number | undefined;
  /** Memory of the proxy for each watch. */
  readonly bytesPerWatcher?: number;
}

/** What went wrong, in words; undefined when every watch was created and got exactly its events. */
export function watchFault(figures: WatchFigures): string | undefined {
  const { watches, created, missingEvents = 0, faultyWatches = 0, ended = {} } = figures;
  const faults = [
    ...(created < watches ? [`only ${created} of ${watches} watches created`] : []),
    ...(missingEvents === 0 ? [] : [`${missingEvents} events missing`]),
    ...(faultyWatches === 0 ? [] : [`${faultyWatches} watches got other events than they should`]),
    ...Object.entries(ended).map(([reason, streams]) => `${streams} streams ended: ${reason}`),
  ];
  return faults.length === 0 ? undefined : faults.join(", ");
}

export function watchFiguresLine(figures: WatchFigures): string {
  const { events, elapsedSeconds, puts, p50Micros, p99Micros, bytesPerWatcher } = figures;
  const cpu = (who: string, micros: number | undefined): string[] =>
    micros === undefined ? [] : [`${who} ${micros.toFixed(3)} µs`];
  return [
    `${figures.mode}: ${short(figures.created)} watches in ${short(figures.createSeconds)} s`,
    `${short(figures.upstreamWatches)} at etcd`,
    ...(events === undefined || elapsedSeconds === undefined || puts === undefined
      ? []
      : [
          `${short(events / elapsedSeconds)} events/s (${short(events)} of ${short(puts)} puts in ${short(elapsedSeconds)} s)`,
        ]),
    ...(p50Micros === undefined ? [] : [`p50 ${short(p50Micros / 1000)} ms`]),
    ...(p99Micros === undefined ? [] : [`p99 ${short(p99Micros / 1000)} ms`]),
    ...cpu("CPU each: proxy", figures.proxyCpuMicros),
    ...cpu("etcd", figures.serverCpuMicros),
    ...cpu("clients", figures.clientCpuMicros),
    ...(bytesPerWatcher === undefined ? [] : [`${short(bytesPerWatcher)} bytes a watcher`]),
    ...[watchFault(figures) ?? []].flat().map((fault) => `FAULT: ${fault}`),
  ].join(", ");
}
