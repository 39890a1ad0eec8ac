/**
 * Clients' reads of keys: cached, shared, and protected from the writes that make them old.
 *
 * Stands between the router and the channel for Range, Txn and the other methods that read, and tells of every
 * other call what it does to the cache (`effectsOf`). Puts the parts together: `read-call` is a client's call, `shared-reads` what is asked of members,
 * `read-cache` what is remembered.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import type { Clock } from "../../base/clock.ts";
import { revisionOfAnswer } from "../../etcd/answer-revision.ts";
import { keyEffectOf } from "../../etcd/key-changes.ts";
import { RangeRequestReader } from "../../etcd/range-request.ts";
import { readsOnly } from "../../etcd/txn-request.ts";
import type { WatchEvent } from "../../etcd/watch-response.ts";
import type { Channel } from "../../grpc/channel.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import { latin1Text } from "../../hpack/latin1.ts";
import type { BufferBudget } from "../../http2/buffer-budget.ts";
import type { AnswerEffects } from "../forward/answer-effects.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";
import { type Answer, finishWith, ownedAnswer } from "./answer.ts";
import { AnswerMemory } from "../../grpc/answer-memory.ts";
import { type CacheEffects, effectsOn } from "./cache-effects.ts";
import type { CacheNotices } from "./cache-notices.ts";
import { CachedRead } from "./cached-read.ts";
import { FillAllowance } from "./fill-allowance.ts";
import { LargeAnswer, type LargeAnswerTaker } from "./large-answer.ts";
import { ReadCache, type ReadCacheOptions } from "./read-cache.ts";
import { ReadCall, type ReadCallOwner } from "./read-call.ts";
import { READ_LIMITS, type ReadLimits } from "./read-limits.ts";
import { type ReadScope, ReadScopes } from "./read-scope.ts";
import { ReadStats } from "./read-stats.ts";
import { SharedReadCache } from "./shared-read-cache.ts";
import type { QuestionKind, SharedRead } from "./shared-read.ts";
import { SharedReads } from "./shared-reads.ts";

export interface CacheBounds {
  readonly bytesMax: number;
  readonly entriesMax: number;
  /** How old an answer may be, counted from when it was sent to a member, in milliseconds. */
  readonly maxAgeMs: number;
}

export interface KvHubOptions {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly forwardLimits: ForwardLimits;
  readonly limits?: Partial<ReadLimits>;
  /** Null: no answer is kept. */
  readonly cache: CacheBounds | null;
  /** What the caches of other workers are told, and tell; absent where there is only this one. */
  readonly notices?: CacheNotices | undefined;
  /** Reads that ask the same share what is asked of a member. */
  readonly coalescing: boolean;
  /** Bounds what waits for clients, together with whoever shares it. */
  readonly budget?: BufferBudget;
}

/** How often scopes that hold nothing are dropped. */
const TIDY_MS = 1000;

export class KvHub {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #limits: ReadLimits;
  readonly #forwardLimits: ForwardLimits;
  readonly #scopes = new ReadScopes();
  readonly #reader = new RangeRequestReader();
  readonly #cache: ReadCache | null;
  readonly #effects: CacheEffects | null;
  readonly #memory: AnswerMemory;
  readonly #reads: SharedReads;
  readonly #fills: FillAllowance;
  readonly #stats = new ReadStats();
  /** Large answers by what is sent, so that one that several read counts once. */
  readonly #largeAnswers = new WeakMap<Answer, LargeAnswer>();
  readonly #ranges: ReadCallOwner;
  readonly #transactions: ReadCallOwner;
  readonly #otherReads: ReadCallOwner;
  #tidyPlanned = false;

  constructor(options: KvHubOptions) {
    const { channel, clock, forwardLimits } = options;
    this.#channel = channel;
    this.#clock = clock;
    this.#forwardLimits = forwardLimits;
    this.#limits = { ...READ_LIMITS, ...options.limits };
    const { scannedMax } = this.#limits;
    this.#cache =
      options.cache === null ? null : readCache({ ...options.cache, clock, scannedMax }, options.notices);
    this.#effects = this.#cache === null ? null : effectsOn(this.#cache);
    this.#fills = new FillAllowance(this.#limits.unaskedFills, clock.nowMs());
    this.#memory = new AnswerMemory(options.budget);
    this.#reads = new SharedReads({
      channel,
      clock,
      limits: this.#limits,
      receiveBytesMax: forwardLimits.receiveBytesMax,
      memory: this.#memory,
      cache: this.#cache,
      stats: this.#stats,
      coalescing: options.coalescing,
      keep: (read, answer) => this.#keep(read, answer),
    });
    const shared = {
      channel,
      limits: forwardLimits,
      join: (call: ReadCall) => this.#join(call),
      sendAnswer: (call: ServerCall, answer: Answer) => this.#send(call, answer),
    };
    this.#ranges = { ...shared, onRequest: (call) => this.#onRange(call) };
    this.#transactions = { ...shared, onRequest: (call) => this.#onTxn(call) };
    this.#otherReads = { ...shared, onRequest: (call) => this.#onOtherRead(call) };
  }

  /** What has been counted up to now. */
  get stats(): ReadStats {
    const stats = this.#stats;
    stats.cacheKeys = this.#cache?.keys ?? 0;
    stats.cacheEntries = this.#cache?.entries ?? 0;
    stats.cacheBytes = this.#cache?.bytes ?? 0;
    stats.cacheEvictions = this.#cache?.evictions ?? 0;
    return stats;
  }

  /** Identities, with and without the wish for a leader, that something is known of. */
  get scopes(): number {
    return this.#scopes.size;
  }

  /** Serves a client's Range call. */
  serveRange(call: ServerCall): void {
    new ReadCall(call, this.#ranges);
  }

  /** Serves a client's Txn call. */
  serveTxn(call: ServerCall): void {
    new ReadCall(call, this.#transactions);
  }

  /** Serves a client's call of another method that reads, such as LeaseTimeToLive: it is shared, too. */
  serveOtherRead(call: ServerCall): void {
    new ReadCall(call, this.#otherReads);
  }

  /** What calls of a method do to the cache; null for nothing. `method` undefined: nobody knows it. */
  effectsOf(method: DescMethod | undefined): AnswerEffects | null {
    return this.#effects?.of(method === undefined ? "anything" : keyEffectOf(method)) ?? null;
  }

  /** A watch at a member has told of events, which nobody has been told yet. */
  onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void {
    this.#cache?.onEvents(bytes, events);
  }

  /** A watch at a member ended, since what is below `revision` is compacted. */
  onCompacted(revision: number): void {
    this.#cache?.compacted(revision);
  }

  /** The channel has come to use another connection. */
  onConnected(): void {
    this.#reads.onConnected();
  }

  #onRange(call: ReadCall): void {
    const scope = this.#scopeOf(call);
    if (scope === null || !this.#readRange(call)) {
      this.#forward(call, null);
      return;
    }
    const { serializable, text } = this.#reader;
    if (serializable && this.#cache !== null) {
      this.#fills.onSerializableRead();
      const answer = this.#cache.find(scope.cached, text);
      if (answer !== null) {
        this.#stats.cacheHits++;
        call.answer(answer);
        return;
      }
      this.#stats.cacheMisses++;
    }
    const kind = serializable ? "serializable" : "linearizable";
    call.ask(scope, scope.question(kind, text, this.#cache !== null));
  }

  #onTxn(call: ReadCall): void {
    const { bytes, start, end } = call.request;
    const scope = this.#scopeOf(call);
    if (scope === null || !isReadOnlyTxn(bytes, start + MESSAGE_PREFIX_BYTES, end)) {
      this.#forward(call, this.#effects?.of("txn") ?? null);
      return;
    }
    this.#askUnkept(call, scope);
  }

  #onOtherRead(call: ReadCall): void {
    const scope = this.#scopeOf(call);
    if (scope === null) this.#forward(call, null);
    else this.#askUnkept(call, scope);
  }

  /** Shares a read whose answer is not kept. */
  #askUnkept(call: ReadCall, scope: ReadScope): void {
    const { bytes, start, end } = call.request;
    const text = `${call.call.head.path} ${latin1Text(bytes, start + MESSAGE_PREFIX_BYTES, end)}`;
    call.ask(scope, scope.question("others", text, false));
  }

  /** A member is there for the call: it shares the next read of its question. */
  #join(call: ReadCall): void {
    if (call.scope?.dropped === true) {
      // It has waited for long, and others have another scope by now.
      const { kind, text, cached } = call.question;
      call.scope = this.#scopes.of(call.call.head);
      if (call.scope !== null) call.question = call.scope.question(kind, text, cached !== null);
    }
    this.#reads.join(call);
  }

  /** Who may share with the call; null when its answer cannot be shared. */
  #scopeOf(call: ReadCall): ReadScope | null {
    const { bytes, start } = call.request;
    if (bytes[start] !== 0) return null;
    if (!this.#tidyPlanned) {
      this.#tidyPlanned = true;
      this.#clock.after(TIDY_MS, () => this.#tidy());
    }
    return this.#scopes.of(call.call.head);
  }

  /** Reads the request of a Range; false when it is none that can be shared. */
  #readRange({ request: { bytes, start, end } }: ReadCall): boolean {
    try {
      return this.#reader.read(bytes, start + MESSAGE_PREFIX_BYTES, end);
    } catch {
      return false;
    }
  }

  #forward({ call, request }: ReadCall, effects: AnswerEffects | null): void {
    new SingleRequestForward(call, this.#channel, this.#forwardLimits, true, effects, request).begin();
  }

  #send(call: ServerCall, answer: Answer): LargeAnswerTaker | null {
    const { pieceBytes } = this.#limits;
    if (answer.end - answer.start <= pieceBytes) {
      finishWith(call, answer);
      return null;
    }
    let large = this.#largeAnswers.get(answer);
    if (large === undefined) {
      large = new LargeAnswer(answer, this.#memory, pieceBytes);
      this.#largeAnswers.set(answer, large);
    }
    return large.sendTo(call);
  }

  #keep({ question, request, sentAtMs, sentEpoch, sentFloor }: SharedRead, answer: Answer): boolean {
    const cache = this.#cache;
    const { cached, text, kind } = question;
    const { bytes, start, end } = answer;
    if (cache === null || cached === null || bytes[start] !== 0) return false;
    const revision = revisionOfAnswer(bytes, start + MESSAGE_PREFIX_BYTES, end);
    if (kind === "linearizable") cache.onLinearizable(revision, sentEpoch, sentFloor);
    if (!cache.admits(revision, sentEpoch) || end - start > cache.entryBytesMax) return false;
    const known = cached.get(text);
    if (known !== undefined) {
      if (known.revision >= revision) return cache.renew(known, revision, sentAtMs);
      return this.#mayFill(kind, sentAtMs) && cache.replace(known, ownedAnswer(answer), revision, sentAtMs);
    }
    if (!this.#mayFill(kind, sentAtMs)) return false;
    const reader = this.#reader;
    reader.read(request.bytes, request.start + MESSAGE_PREFIX_BYTES, request.end);
    const { range, revision: asked } = reader;
    if (range === null) return false;
    return cache.keep(new CachedRead(cached, text, range, asked, ownedAnswer(answer), revision, sentAtMs));
  }

  #mayFill(kind: QuestionKind, sentAtMs: number): boolean {
    return kind !== "linearizable" || this.#fills.take(sentAtMs);
  }

  #tidy(): void {
    this.#tidyPlanned = this.#scopes.tidy() > 0;
    if (this.#tidyPlanned) this.#clock.after(TIDY_MS, () => this.#tidy());
  }
}

function readCache(options: ReadCacheOptions, notices: CacheNotices | undefined): ReadCache {
  return notices === undefined ? new ReadCache(options) : new SharedReadCache(options, notices);
}

function isReadOnlyTxn(bytes: Uint8Array, start: number, end: number): boolean {
  try {
    return readsOnly(bytes, start, end);
  } catch {
    return false;
  }
}
