/**
 * What a cluster's watches cost it, by the members' own count (etcd's `/metrics`).
 */
import type { EtcdCluster } from "../harness/etcd-cluster.ts";

const WATCHES = "etcd_debugging_mvcc_watcher_total";

/** Watches that there are now at all running members together. */
export function upstreamWatches(cluster: EtcdCluster): Promise<number> {
  return sumOf(cluster, (line) => line.startsWith(`${WATCHES} `));
}

/** Requests ever received on Watch streams: creates, cancels and progress requests. */
export function watchRequests(cluster: EtcdCluster): Promise<number> {
  return sumOf(
    cluster,
    (line) =>
      line.startsWith("grpc_server_msg_received_total{") &&
      line.includes('grpc_method="Watch",grpc_service="etcdserverpb.Watch"'),
  );
}

async function sumOf(cluster: EtcdCluster, chosen: (line: string) => boolean): Promise<number> {
  const running = cluster.members.filter((member) => member.running);
  const counts = await Promise.all(
    running.map(async ({ endpoint }) => {
      const answer = await fetch(`http://${endpoint}/metrics`, { keepalive: false });
      const lines = (await answer.text()).split("\n").filter(chosen);
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Looks at the upstream watches again and again until it is stopped. */
export class UpstreamWatchPeak {
  /** The most that were seen at one moment. */
  peak = 0;
  #stopped = false;
  readonly #watching: Promise<void>;

  constructor(cluster: EtcdCluster) {
    this.#watching = this.#watch(cluster);
  }

  /** Looks once more. Resolves to the most that were ever seen. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#watching;
    return this.peak;
  }

  async #watch(cluster: EtcdCluster): Promise<void> {
    let last = false;
    while (!last) {
      last = this.#stopped;
      this.peak = Math.max(this.peak, await upstreamWatches(cluster));
    }
  }
}
