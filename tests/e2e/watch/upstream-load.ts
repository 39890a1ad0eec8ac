/**
 * What watching costs a cluster, by its members' own account: watches and Watch streams, all members together.
 */
import type { EtcdCluster } from "../../harness/etcd-cluster.ts";
import { waitFor } from "../../harness/wait-for.ts";

export interface UpstreamLoad {
  readonly watches: number;
  readonly streams: number;
}

const PROBE_MS = 5_000;
const INTERVAL_MS = 100;

async function gaugesOf(endpoint: string): Promise<UpstreamLoad> {
  const signal = AbortSignal.timeout(PROBE_MS);
  const answer = await fetch(`http://${endpoint}/metrics`, { signal, keepalive: false });
  const page = await answer.text();
  const gauge = (name: string): number => {
    const match = new RegExp(`^${name} (\\S+)$`, "m").exec(page);
    if (match === null) throw new Error(`${endpoint} has no metric ${name}`);
    return Number(match[1]);
  };
  return {
    watches: gauge("etcd_debugging_mvcc_watcher_total"),
    streams: gauge("etcd_debugging_mvcc_watch_stream_total"),
  };
}

/** What there is now. */
export async function upstreamLoad(cluster: EtcdCluster): Promise<UpstreamLoad> {
  const loads = await Promise.all(cluster.endpoints.map(gaugesOf));
  return {
    watches: loads.reduce((sum, { watches }) => sum + watches, 0),
    streams: loads.reduce((sum, { streams }) => sum + streams, 0),
  };
}

/** Waits until there are exactly this many watches and streams. */
export async function waitForLoad(cluster: EtcdCluster, expected: UpstreamLoad): Promise<void> {
  let seen: UpstreamLoad = { watches: -1, streams: -1 };
  const words = ({ watches, streams }: UpstreamLoad): string => `${watches} watches on ${streams} streams`;
  try {
    await waitFor(
      words(expected),
      async () => {
        seen = await upstreamLoad(cluster);
        return seen.watches === expected.watches && seen.streams === expected.streams;
      },
      { intervalMs: INTERVAL_MS },
    );
  } catch (error) {
    throw new Error(`the members told of ${words(seen)} at last`, { cause: error });
  }
}
