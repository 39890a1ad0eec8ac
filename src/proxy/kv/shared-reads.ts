/**
 * Which reads are at members, and which wait for their turn: of each question at most one is at a member and one
 * waits, however many callers ask (architecture §4, "Reads").
 *
 * A read is sent at the end of the turn in which it was asked for, or in which the one before it was answered: all
 * who ask until then share it. With several of them it waits for the end of a turn in which nobody joins. One that hangs, or whose endpoint was left, holds up nobody for long.
 */
import type { Clock } from "../../base/clock.ts";
import { SHARED_METADATA } from "../../etcd/identity.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { Answer } from "./answer.ts";
import type { AnswerMemory } from "../../grpc/answer-memory.ts";
import type { ReadCache } from "./read-cache.ts";
import type { ReadLimits } from "./read-limits.ts";
import type { ReadStats } from "./read-stats.ts";
import { type Reader, SharedRead, type SharedReadOwner } from "./shared-read.ts";
import { SharedReadTable } from "./shared-read-table.ts";

export interface SharedReadsOptions {
  readonly channel: Pick<Channel, "availableToAny" | "uses" | "leave" | "begin">;
  readonly clock: Clock;
  readonly limits: ReadLimits;
  readonly receiveBytesMax: number;
  readonly memory: AnswerMemory;
  readonly cache: ReadCache | null;
  readonly stats: ReadStats;
  /** False: each caller has a read of his own. */
  readonly coalescing: boolean;
  /** Keeps a whole, good answer. Returns whether it was kept. */
  keep(read: SharedRead, answer: Answer): boolean;
}

/** How often reads are looked for that hang, or that nobody waits for any more. */
const WATCHED_EVERY_MS = 100;

const NOBODY: readonly Reader[] = [];

export class SharedReads implements SharedReadOwner {
  readonly limits: ReadLimits;
  readonly receiveBytesMax: number;
  readonly memory: AnswerMemory;
  readonly #options: SharedReadsOptions;
  /** Of each question the read at a member, or about to be sent, whose `next` waits for it. */
  readonly #table = new SharedReadTable<SharedRead>();
  #unsent: SharedRead[] = [];
  #gathering: SharedRead[] = [];
  /** Reads at members that another one waits for, or that nobody waits for. */
  readonly #watched = new Set<SharedRead>();
  #watching = false;

  constructor(options: SharedReadsOptions) {
    this.#options = options;
    this.limits = options.limits;
    this.receiveBytesMax = options.receiveBytesMax;
    this.memory = options.memory;
  }

  /** Lets `reader` share the next read of its question. */
  join(reader: Reader): void {
    const { group, text } = reader.question;
    this.#options.stats.sharedReads++;
    const known = this.#options.coalescing ? this.#table.get(group, text) : null;
    if (known === null) {
      const read = new SharedRead(this, reader);
      if (this.#options.coalescing) this.#table.add(read);
      this.#sendSoon(read);
    } else if (known.waiting) {
      known.add(reader);
    } else if (known.next === null) {
      this.#waitBehind(known, new SharedRead(this, reader));
      this.#detachIfLeft(known);
    } else {
      known.next.add(reader);
    }
  }

  /** Calls go to another connection now: reads on those that were left hold up nobody any more. */
  onConnected(): void {
    for (const read of [...this.#watched]) if (read.next !== null) this.#detachIfLeft(read);
  }

  // From reads.

  leave(upstream: Upstream, reason: string): void {
    this.#options.channel.leave(upstream, reason);
  }

  onGoodAnswer(read: SharedRead, answer: Answer): boolean {
    return this.#options.keep(read, answer);
  }

  onOver(read: SharedRead, kept: boolean): void {
    if (this.#watched.size > 0) this.#watched.delete(read);
    if (read.detached) return;
    const { cached, kind, text } = read.question;
    const mayBeOld = kept && cached !== null && kind === "serializable";
    const answer = mayBeOld ? this.#options.cache?.find(cached, text) : null;
    const waiting = answer ? (read.next?.drop() ?? NOBODY) : NOBODY;
    this.#letNextGo(read);
    // They do not mind an answer that is a little old.
    for (const reader of waiting) reader.onAnswer(answer!);
  }

  onAbandoned(read: SharedRead): void {
    this.#watch(read);
  }

  onDivided(read: SharedRead, readers: Reader[]): void {
    if (read.detached) {
      // Its place is taken: they ask anew.
      for (const reader of readers) this.#options.channel.begin(reader);
      return;
    }
    this.#waitBehind(read, this.#apart([...readers, ...(read.next?.drop() ?? NOBODY)]));
  }

  // Turns.

  #sendSoon(read: SharedRead): void {
    if (this.#unsent.push(read) === 1) this.#options.clock.endOfTurn(() => this.#sendAll());
  }

  #sendAll(): void {
    const reads = this.#unsent;
    this.#unsent = [];
    for (const read of reads) {
      if (this.#gathers(read)) this.#sendLater(read);
      else this.#send(read);
    }
  }

  /** Several callers have joined in this turn: more of the crowd may be about to. */
  #gathers(read: SharedRead): boolean {
    const { length } = read.readers;
    if (length < 2 || length <= read.readersGathered) return false;
    read.readersGathered = length;
    return ++read.turnsGathered < this.limits.gatherTurnsMax;
  }

  #sendLater(read: SharedRead): void {
    if (this.#gathering.push(read) > 1) return;
    this.#options.clock.endOfNextTurn(() => {
      this.#unsent.push(...this.#gathering);
      this.#gathering = [];
      this.#sendAll();
    });
  }

  #send(read: SharedRead): void {
    if (!read.waiting) return;
    if (read.readers.length === 0) {
      read.drop();
      this.#letNextGo(read);
      return;
    }
    const upstream = this.#options.channel.availableToAny;
    if (upstream === null) {
      this.#disband(read);
      return;
    }
    if (read.large && read.readers.length > 1) {
      const [first, ...others] = read.readers;
      read.readers = [first!];
      this.#waitBehind(read, this.#apart(others));
    }
    const { cache, stats, clock, coalescing } = this.#options;
    stats.upstreamReads++;
    read.sentAtMs = clock.nowMs();
    read.sentEpoch = cache?.epoch ?? 0;
    read.sentFloor = cache?.floorRevision ?? 0;
    const { head, deadlineMs } = read.readers[0]!.call;
    const { name } = upstream.endpoint;
    const leftMs = deadlineMs - read.sentAtMs;
    const fields = coalescing
      ? head.sharedUpstreamFields(name, SHARED_METADATA)
      : head.upstreamFields(name, leftMs);
    read.send(upstream, head.path, fields);
  }

  /** A read for `readers`, of whom there is at least one. */
  #apart(readers: readonly Reader[]): SharedRead {
    const [first, ...others] = readers;
    const read = new SharedRead(this, first!);
    for (const reader of others) read.add(reader);
    return read;
  }

  /** No member can be reached: each caller waits for one by himself, as long as he may. */
  #disband(read: SharedRead): void {
    const readers = read.drop();
    this.#table.remove(read);
    for (const reader of readers) this.#options.channel.begin(reader);
  }

  #waitBehind(read: SharedRead, next: SharedRead): void {
    read.next = next;
    this.#watch(read);
  }

  /** The place of `read`, which is not detached, is free. */
  #letNextGo(read: SharedRead): void {
    const { next } = read;
    read.next = null;
    this.#table.remove(read);
    if (next !== null && !next.over) {
      this.#table.add(next);
      next.large = read.large;
      this.#sendSoon(next);
    }
  }

  // Reads that take too long.

  #watch(read: SharedRead): void {
    this.#watched.add(read);
    if (this.#watching) return;
    this.#watching = true;
    this.#options.clock.after(WATCHED_EVERY_MS, () => this.#lookAfter());
  }

  #lookAfter(): void {
    const dueMs = this.#options.clock.nowMs() - this.limits.hangMs;
    for (const read of [...this.#watched]) {
      if (read.sentAtMs > dueMs || read.waiting) continue;
      if (read.readers.length === 0) read.cancel();
      else if (read.next !== null) this.#detach(read);
    }
    if (this.#watched.size === 0) this.#watching = false;
    else this.#options.clock.after(WATCHED_EVERY_MS, () => this.#lookAfter());
  }

  /** A read whose endpoint was left may never be answered. */
  #detachIfLeft(read: SharedRead): void {
    const { upstream } = read;
    if (upstream !== null && !this.#options.channel.uses(upstream)) this.#detach(read);
  }

  #detach(read: SharedRead): void {
    this.#watched.delete(read);
    this.#letNextGo(read);
    read.detached = true;
    if (read.readers.length === 0) read.cancel();
  }
}
