/**
 * What each member of a cluster has told directly of how far it is: an event of revision 7 means that it holds all up
 * to 7, so none of its own serializable reads from then on is older.
 */
import { Watch, type WatchResponse } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { EtcdCluster } from "../../harness/etcd-cluster.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { ALL_KEYS, createRequest } from "../watch-plan.ts";
import type { MemberWord } from "./read-judge.ts";

export class MemberWords implements Disposable {
  /** By the member's id; oldest first. */
  readonly words = new Map<string, MemberWord[]>();
  readonly #clients: readonly GrpcClient[];

  private constructor(endpoints: readonly string[]) {
    this.#clients = endpoints.map((endpoint) => new GrpcClient(endpoint));
    for (const client of this.#clients) {
      const watch = client.bidirectional(Watch.method.watch);
      watch.on("data", (response: WatchResponse) => this.#take(response));
      watch.on("error", () => {}); // A member that says no more is judged by what it has said.
      watch.write(createRequest(ALL_KEYS, 0));
    }
  }

  /** Listens to all members of the cluster, once all have answered. */
  static async of(cluster: EtcdCluster): Promise<MemberWords> {
    const words = new MemberWords(cluster.endpoints);
    await waitFor("all members to be heard", () => words.words.size === cluster.members.length);
    return words;
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
  }

  #take({ header, events }: WatchResponse): void {
    const memberId = String(header?.memberId);
    const told = this.words.get(memberId) ?? [];
    this.words.set(memberId, told);
    const newest = events.at(-1)?.kv?.modRevision;
    if (newest !== undefined) told.push({ atMs: performance.now(), revision: Number(newest) });
  }
}
