/** What heartbeats cost a cluster, by its members' own account: LeaseKeepAlive calls and messages, all members together. */
import type { EtcdCluster } from "../../harness/etcd-cluster.ts";
import { waitFor } from "../../harness/wait-for.ts";

export interface UpstreamHeartbeats {
  /** Calls that are open. */
  readonly streams: number;
  /** Requests received, ever. */
  readonly heartbeats: number;
}

const INTERVAL_MS = 50;

async function pageOf(endpoint: string): Promise<string> {
  const answer = await fetch(`http://${endpoint}/metrics`, {
    signal: AbortSignal.timeout(5000),
    keepalive: false,
  });
  return answer.text();
}

/** The sum of a counter over all label values but the method's. */
function sumOf(page: string, counter: string): number {
  let sum = 0;
  for (const line of page.split("\n")) {
    if (!line.startsWith(`${counter}{`) || !line.includes('grpc_method="LeaseKeepAlive"')) continue;
    sum += Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return sum;
}

/** What there is now. */
export async function upstreamHeartbeats(cluster: EtcdCluster): Promise<UpstreamHeartbeats> {
  const running = cluster.members.filter((member) => member.running);
  const pages = await Promise.all(running.map(({ endpoint }) => pageOf(endpoint)));
  const total = (counter: string) => pages.reduce((sum, page) => sum + sumOf(page, counter), 0);
  return {
    streams: total("grpc_server_started_total") - total("grpc_server_handled_total"),
    heartbeats: total("grpc_server_msg_received_total"),
  };
}

/** Waits until exactly so many calls are open. */
export async function waitForStreams(cluster: EtcdCluster, streams: number): Promise<void> {
  await waitFor(
    `${streams} LeaseKeepAlive calls at the members`,
    async () => {
      const seen = await upstreamHeartbeats(cluster);
      if (seen.streams !== streams) throw new Error(`there are ${seen.streams}`);
      return true;
    },
    { intervalMs: INTERVAL_MS },
  );
}
