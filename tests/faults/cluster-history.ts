/**
 * What really happened in a cluster, by etcd's own account: every change of every key, from a moment on.
 *
 * It is read by a watch of all keys directly at a healthy member, piece by piece, since a compaction takes the
 * oldest away. Invariant: revisions follow one another without a gap; each change knows the pair before it from the
 * changes before, so a client's `prev_kv` can be judged where etcd itself has compacted the answer.
 */
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, type WatchResponse } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Conversation } from "../e2e/conversation.ts";
import { etcdVersion, isSince } from "../harness/etcd-version.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { type Change, changeOf, describeChange, latin1, pairOf } from "./change.ts";
import { ALL_KEYS, createRequest } from "./watch-plan.ts";

const NUL = Uint8Array.of(0);

export class ClusterHistory {
  readonly #changes: Change[] = [];
  readonly #pairs: Map<string, string>;
  /** The first revision whose changes are known. */
  readonly firstRevision: number;
  /** The newest revision whose changes are known. */
  lastRevision: number;
  /** All revisions below it may be gone from etcd. */
  compactRevision = 0;

  /** @param pairs what the keys held at `revision`. */
  constructor(revision: number, pairs: ReadonlyMap<string, string> = new Map()) {
    this.#pairs = new Map(pairs);
    this.firstRevision = revision + 1;
    this.lastRevision = revision;
  }

  /**
   * The first revision from which a watch is still told everything. The revision of a compaction itself should be
   * the first one, but etcd before 3.5.16 forgot its deletes (etcd-io/etcd#18089).
   */
  get firstKept(): number {
    const forgets = !isSince(etcdVersion(), [3, 5, 16]);
    return Math.max(this.firstRevision, this.compactRevision + (forgets ? 1 : 0));
  }

  /** Begins after the newest revision of the member at `endpoint`. */
  static async begin(endpoint: string): Promise<ClusterHistory> {
    using client = new GrpcClient(endpoint);
    const { header, kvs } = await client.unary(KV.method.range, { key: NUL, rangeEnd: NUL });
    const pairs = new Map(kvs.map((pair) => [latin1(pair.key), pairOf(pair)]));
    return new ClusterHistory(Number(header!.revision), pairs);
  }

  /** Oldest first; `previous` is always there when the key existed. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** Reads on at the member at `endpoint`, up to the newest revision there is. */
  async extend(endpoint: string): Promise<void> {
    using client = new GrpcClient(endpoint);
    const { header } = await client.unary(KV.method.range, { key: NUL });
    const upTo = Number(header!.revision);
    if (upTo <= this.lastRevision) return;
    using watch = new Conversation(client.bidirectional(Watch.method.watch));
    watch.send(createRequest({ ...ALL_KEYS, prevKv: true }, this.lastRevision + 1));
    while (this.lastRevision < upTo) {
      const response: WatchResponse = await watch.next();
      if (response.canceled)
        throw new Error(`etcd ended the watch of all keys: ${JSON.stringify(response.cancelReason)}`);
      for (const event of response.events) this.add(changeOf(event));
    }
  }

  /** Takes in the next change. @throws Error when it cannot be the next, or etcd contradicts itself. */
  add(change: Change): void {
    const { revision, key, type, pair } = change;
    if (revision !== this.lastRevision && revision !== this.lastRevision + 1) {
      throw new Error(`etcd told ${describeChange(change)} after ${this.lastRevision}`);
    }
    const previous = this.#pairs.get(key);
    if (change.previous !== undefined && change.previous !== previous) {
      throw new Error(
        `etcd told ${describeChange(change)} with prev_kv ${change.previous}, it was ${previous}`,
      );
    }
    this.#changes.push({ ...change, previous });
    if (type === "put") this.#pairs.set(key, pair);
    else this.#pairs.delete(key);
    this.lastRevision = revision;
  }
}
