/**
 * What clients share: reads, watches and heartbeats, each in its hub, or forwarded where it is switched off.
 *
 * Stands between the channel, which tells when it has turned to another connection, and the hubs, which then begin anew
 * what is theirs.
 */
import { collectGarbage } from "../base/burst-garbage.ts";
import type { AnswerMemory } from "../grpc/answer-memory.ts";
import type { Channel } from "../grpc/channel.ts";
import { REAL_CLOCK } from "../grpc/real-clock.ts";
import type { BufferBudget } from "../http2/buffer-budget.ts";
import type { OwnIdentity } from "./auth/own-identity.ts";
import type { ForwardLimits } from "./forward/forward-limits.ts";
import type { CacheNotices } from "./kv/cache-notices.ts";
import { type CacheBounds, KvHub } from "./kv/kv-hub.ts";
import { ReadStats } from "./kv/read-stats.ts";
import { ChannelLeaseCalls } from "./lease/channel-lease-calls.ts";
import { LeaseHub } from "./lease/lease-hub.ts";
import { LeaseStats } from "./lease/lease-stats.ts";
import type { Hubs } from "./router.ts";
import { ChannelWatchCalls } from "./watch/channel-watch-calls.ts";
import { WatchHub } from "./watch/watch-hub.ts";
import { WatchStats } from "./watch/watch-stats.ts";

/** What is switched on. */
export interface SharingSwitches {
  /** Clients' watches share watches at the members; false: each is forwarded. */
  readonly watchCoalescing: boolean;
  /** Clients' reads that ask the same share reads at the members; false: each has its own. */
  readonly readCoalescing: boolean;
  /** What is kept of answers for serializable reads; null: nothing. */
  readonly cache: CacheBounds | null;
  /** Clients' heartbeats share streams at the members; false: each stream is forwarded. */
  readonly leaseCoalescing: boolean;
}

export interface SharedWorkParts {
  readonly channel: Channel;
  readonly limits: ForwardLimits;
  /** The same for messages that are gathered here rather than passed on as they come. */
  readonly gathered: ForwardLimits;
  /** What may be kept of one revision of a watch until all of it has come. */
  readonly revisionBytesMax: number;
  readonly budget: BufferBudget;
  /** Bounds what hubs keep of answers. */
  readonly memory: AnswerMemory;
  readonly own: OwnIdentity | null;
  /** Of the caches of this process's other workers; absent where there are none. */
  readonly notices: CacheNotices | undefined;
}

export class SharedWork implements Hubs {
  readonly kv: KvHub | null;
  readonly watch: WatchHub | null;
  readonly leases: LeaseHub | null;
  readonly #watchCalls: ChannelWatchCalls | null;
  readonly #leaseCalls: ChannelLeaseCalls | null;

  constructor(switches: SharingSwitches, parts: SharedWorkParts) {
    const { channel, limits, gathered, revisionBytesMax, budget, memory, own, notices } = parts;
    const { cache, readCoalescing, watchCoalescing, leaseCoalescing } = switches;
    const nothingOfReads = cache === null && !readCoalescing;
    this.kv = nothingOfReads
      ? null
      : new KvHub({
          channel,
          clock: REAL_CLOCK,
          forwardLimits: limits,
          cache,
          notices,
          coalescing: readCoalescing,
          budget,
        });
    this.#watchCalls = watchCoalescing ? new ChannelWatchCalls(channel, gathered, memory) : null;
    this.watch =
      this.#watchCalls &&
      new WatchHub({
        calls: this.#watchCalls,
        clock: REAL_CLOCK,
        requestBytesMax: limits.sendBytesMax,
        budget,
        memory,
        limits: { revisionBytesMax },
        collectGarbage,
        ...(this.kv === null ? {} : { events: this.kv }),
        own,
      });
    this.#leaseCalls = leaseCoalescing ? new ChannelLeaseCalls(channel, limits) : null;
    this.leases =
      this.#leaseCalls &&
      new LeaseHub({ calls: this.#leaseCalls, clock: REAL_CLOCK, requestBytesMax: limits.sendBytesMax });
  }

  /** The channel has turned to another connection. */
  onConnected(): void {
    this.#watchCalls?.onConnected();
    this.watch?.onConnected();
    this.kv?.onConnected();
    this.#leaseCalls?.onConnected();
  }

  /** What is counted; zeros where a part is switched off. */
  get stats(): { watches: Readonly<WatchStats>; reads: Readonly<ReadStats>; leases: Readonly<LeaseStats> } {
    return {
      watches: this.watch?.stats ?? NO_WATCHES,
      reads: this.kv?.stats ?? NO_READS,
      leases: this.leases?.stats ?? NO_LEASES,
    };
  }

  close(): void {
    this.watch?.close();
    this.leases?.close();
  }
}

const NO_WATCHES = new WatchStats();
const NO_READS = new ReadStats();
const NO_LEASES = new LeaseStats();
