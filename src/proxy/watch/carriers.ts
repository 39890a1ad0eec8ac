/**
 * Which Watch call carries which upstream watch.
 *
 * All shared watches ride on one call if its token may read their ranges; another call is opened, in the name of a
 * client that watches the range, only where the member refuses. A token carries nothing new once its last client is
 * gone or the member refuses it. A watch that serves laggards has a call of its own, so that it can be held back.
 *
 * If the proxy has a user of its own, its token comes first. When that has ended, watches that ride in its name stay
 * where they are, as the member lets them, until there is a new one, and then move with those that ride in clients'
 * names. A watch for which no client's token does waits for the new one.
 */
import type { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { TokenBucket } from "../../base/token-bucket.ts";
import { saysTokenEnded } from "../../etcd/auth-refusal.ts";
import type { AnswerHeader, WatchEvent } from "../../etcd/watch-response.ts";
import type { MemberLimit } from "../../grpc/channel-options.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import type { ProvenProgress } from "./progress-answers.ts";
import { cancelReason, revisionOfHeader } from "./revision-probes.ts";
import { UpstreamStream, type UpstreamStreamOwner } from "./upstream-stream.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import type { WatchCalls } from "./watch-calls.ts";
import type { WatchLimits } from "./watch-limits.ts";

export interface CarriersOwner {
  /** Tokens that may read the watch's range. */
  tokensFor(watch: UpstreamWatch): Iterable<string>;
  /** No token does for the watch. */
  onRefused(watch: UpstreamWatch, reason: string): void;
  /** The watch lost what carried it: carry it again, or do without. */
  onUncarried(watch: UpstreamWatch): void;
  /** The watch should move to another call while this one goes on. */
  onCarrierRetiring(watch: UpstreamWatch): void;
  onHeader(header: AnswerHeader): void;
  /**
   * A member has told that some watches are at `toldRevision` or beyond, and the cluster is no further than
   * `latestRevision`.
   */
  onUnreal(watches: readonly UpstreamWatch[], toldRevision: number, latestRevision: number): void;
  onProgress(stream: UpstreamStream, progress: ProvenProgress): void;
  onStreamLost(stream: UpstreamStream): void;
  onUpstreamEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void;
}

/** How long a call without watches is kept. */
const EMPTY_MS = 1000;
/** Calls whose tokens are tried for a range that none of their own clients watches. */
const FOREIGN_TRIES_MAX = 4;
/** Ends without a reason, in a row, after which a watch is given up. */
const CANCELLATIONS_MAX = 5;
/** The pause between two reads of the cluster's revision when that fails. */
const LATEST_PAUSE_MS = 1000;
/** Revisions in a row that were too large for the proxy, after which a watch is given up. */
const OVERLONG_MAX = 3;
/** How long watches are not opened anew once members end too many of them. */
const ENDINGS_PAUSE_MS = 1000;
const CANCELLED_WITHOUT_REASON = "etcdproxy: the member ends this watch and does not say why";

export class Carriers implements UpstreamStreamOwner {
  /** Calls that shared watches ride on. */
  readonly streams = new Set<UpstreamStream>();
  callsLeft = 0;
  /** Calls of single catch-up watches. */
  readonly #alone = new Set<UpstreamStream>();
  readonly #calls: WatchCalls;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #own: OwnIdentity | null;
  readonly #owner: CarriersOwner;
  /** Calls in the name of the proxy's own user, with whichever of its tokens. */
  readonly #ownStreams = new WeakSet<UpstreamStream>();
  /** Open client streams by token. */
  readonly #clients = new Map<string, number>();
  /** Watches that wait for the next attempt. */
  readonly #uncarried = new Set<UpstreamWatch>();
  /** Watches that only a new token of the proxy's own user could carry. */
  readonly #waitingForOwn = new Set<UpstreamWatch>();
  /** The token that all have been moved to. */
  #ownToken = "";
  #retryPlanned = false;
  #closingEmpty = false;
  readonly #limits: WatchLimits;
  readonly #endings: TokenBucket;
  /** Watches that are further than the member that carries them, which may lag. */
  readonly #ahead = new Set<UpstreamWatch>();
  #askingLatest = false;
  /** Until then watches are not opened at once. */
  #pausedUntilMs = 0;

  constructor(parts: {
    calls: WatchCalls;
    clock: Clock;
    limits: WatchLimits;
    backoff: Backoff;
    own: OwnIdentity | null;
    owner: CarriersOwner;
  }) {
    this.#calls = parts.calls;
    this.#clock = parts.clock;
    this.#limits = parts.limits;
    this.#endings = new TokenBucket(parts.limits.endings, parts.clock.nowMs());
    this.#backoff = parts.backoff;
    this.#own = parts.own;
    this.#owner = parts.owner;
    this.#own?.listen(() => this.#onOwnSettled());
  }

  /** Calls that are open. */
  get size(): number {
    return this.streams.size + this.#alone.size;
  }

  clientCame(token: string): void {
    this.#clients.set(token, (this.#clients.get(token) ?? 0) + 1);
  }

  clientWent(token: string): void {
    const left = (this.#clients.get(token) ?? 1) - 1;
    if (left > 0) {
      this.#clients.set(token, left);
      return;
    }
    this.#clients.delete(token);
    for (const stream of this.streams) {
      if (stream.token === token && !this.#ownStreams.has(stream)) this.#retire(stream);
    }
  }

  /** Opens the watch at a member, on a call that may carry it. */
  carry(watch: UpstreamWatch): void {
    if (watch.closed || watch.stream !== null) return;
    if (this.#clock.nowMs() < this.#pausedUntilMs) {
      this.#carryLater(watch);
      return;
    }
    const stream = this.#inOwnName(watch) ?? this.#inClientsName(watch);
    if (stream !== null) stream.open(watch);
    else if (this.#own?.expected === true) this.#waitingForOwn.add(watch);
    else this.#giveUp(watch);
  }

  /** The watch is wanted no more. */
  drop(watch: UpstreamWatch): void {
    this.#uncarried.delete(watch);
    this.#waitingForOwn.delete(watch);
    const { stream } = watch;
    if (stream === null) return;
    stream.drop(watch);
    if (this.#alone.has(stream) || stream.retiring) this.#closeIfEmpty(stream);
    else if (stream.size === 0) this.#closeEmptyLater();
  }

  /** Ends calls that carry nothing. */
  closeEmpty(): void {
    for (const stream of [...this.streams]) this.#closeIfEmpty(stream);
  }

  close(): void {
    for (const stream of [...this.streams, ...this.#alone]) stream.close();
    this.streams.clear();
    this.#alone.clear();
  }

  /** A call in the name of the proxy's own user, if that may carry the watch as far as is known. */
  #inOwnName(watch: UpstreamWatch): UpstreamStream | null {
    const token = this.#own?.token ?? "";
    if (token === "" || watch.refusals.has(token)) return null;
    if (!watch.catchUp) {
      for (const stream of this.streams) {
        if (stream.token === token && !stream.retiring && this.#ownStreams.has(stream)) return stream;
      }
    }
    const stream = this.#open([token], watch.catchUp ? this.#alone : this.streams);
    if (stream !== null) this.#ownStreams.add(stream);
    return stream;
  }

  #inClientsName(watch: UpstreamWatch): UpstreamStream | null {
    const own = [...this.#owner.tokensFor(watch)].filter((token) => !watch.refusals.has(token));
    return watch.catchUp
      ? this.#open(own, this.#alone)
      : (this.#find(watch, own) ?? this.#open(own, this.streams));
  }

  /** A token of the proxy's own user has come, or will not. */
  #onOwnSettled(): void {
    const waiting = [...this.#waitingForOwn];
    this.#waitingForOwn.clear();
    for (const watch of waiting) this.#owner.onUncarried(watch);
    const token = this.#own?.token ?? "";
    if (token === "" || token === this.#ownToken) return;
    this.#ownToken = token;
    for (const stream of [...this.streams]) {
      if (stream.token === token) continue;
      if (this.#ownStreams.has(stream)) this.#retire(stream);
      else this.#moveToOwn(stream);
    }
  }

  /** What rides in a client's name moves to the own user's, but for what that may not watch. */
  #moveToOwn(stream: UpstreamStream): void {
    for (const watch of [...stream.watches.values()]) {
      if (!watch.ownDenied) this.#owner.onCarrierRetiring(watch);
    }
  }

  #find(watch: UpstreamWatch, own: readonly string[]): UpstreamStream | null {
    let best: UpstreamStream | null = null;
    for (const stream of this.streams) {
      if (stream.retiring || !this.#clients.has(stream.token) || watch.refusals.has(stream.token)) continue;
      const isOwn = own.includes(stream.token);
      if (isOwn) return stream;
      if (watch.refusals.size >= FOREIGN_TRIES_MAX) continue;
      if (best === null || stream.size > best.size) best = stream;
    }
    return best;
  }

  /** Opens a call in the name of the first token, if there is one, as one of `streams`. */
  #open(own: readonly string[], streams: Set<UpstreamStream>): UpstreamStream | null {
    const token = own[0];
    if (token === undefined) return null;
    const stream = new UpstreamStream(this.#calls, token, this.#limits, this);
    streams.add(stream);
    return stream;
  }

  #noteRefusal(watch: UpstreamWatch, stream: UpstreamStream, reason: string): void {
    watch.refusals.set(stream.token, reason);
    if (this.#ownStreams.has(stream) && !saysTokenEnded(reason)) watch.ownDenied = true;
    this.#own?.onRefused(stream.token, reason);
  }

  #giveUp(watch: UpstreamWatch): void {
    // What a token was told that is none of its clients' is no reason for them.
    const own = [...this.#owner.tokensFor(watch)].find((token) => watch.refusals.has(token)) ?? "";
    this.#owner.onRefused(watch, watch.refusals.get(own) ?? CANCELLED_WITHOUT_REASON);
  }

  #retire(stream: UpstreamStream): void {
    if (stream.retiring) return;
    stream.retiring = true;
    for (const watch of [...stream.watches.values()]) this.#owner.onCarrierRetiring(watch);
    this.#closeIfEmpty(stream);
  }

  #closeIfEmpty(stream: UpstreamStream): void {
    if (stream.size > 0) return;
    stream.close();
    this.streams.delete(stream);
    this.#alone.delete(stream);
  }

  /** A call without watches is kept for a moment: the next watch may want it. */
  #closeEmptyLater(): void {
    if (this.#closingEmpty) return;
    this.#closingEmpty = true;
    this.#clock.after(EMPTY_MS, () => {
      this.#closingEmpty = false;
      this.closeEmpty();
    });
  }

  /** Whether what watches have been told is so: asked of the cluster, once for all that are in doubt. */
  #askLatest(): void {
    if (this.#askingLatest) return;
    const asked = [...this.#ahead].filter(({ closed, stream }) => !closed && stream !== null);
    this.#ahead.clear();
    const first = asked[0];
    if (first === undefined) return;
    this.#askingLatest = true;
    const told = asked.map((watch) => ({ watch, revision: watch.nextRevision - 1 }));
    const again = (): void => {
      for (const watch of asked) this.#ahead.add(watch);
      this.#clock.after(LATEST_PAUSE_MS, () => {
        this.#askingLatest = false;
        this.#askLatest();
      });
    };
    this.#calls.readLatest(first.stream!.token, first.range, {
      onHeader: (bytes, start, end) => {
        const latest = revisionOfHeader(bytes, start, end);
        if (latest === null) return again();
        this.#askingLatest = false;
        const unreal = told.filter(({ revision }) => revision > latest);
        const least = unreal.reduce((before, { revision }) => Math.min(before, revision), Infinity);
        if (unreal.length > 0)
          this.#owner.onUnreal(
            unreal.map(({ watch }) => watch),
            least,
            latest,
          );
        this.#askLatest();
      },
      onFailed: again,
    });
  }

  /** A member has ended a watch, or a call that carries some. */
  #noteEnding(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#endings.take(nowMs)) return;
    this.#pausedUntilMs = nowMs + ENDINGS_PAUSE_MS;
    this.#calls.tellOfLimit("watchEndings", "watches end as soon as they are opened");
  }

  /** Carries the watch again after a pause. */
  #carryLater(watch: UpstreamWatch): void {
    this.#uncarried.add(watch);
    if (this.#retryPlanned) return;
    this.#retryPlanned = true;
    this.#clock.after(this.#backoff.next(), () => {
      this.#retryPlanned = false;
      const watches = [...this.#uncarried];
      this.#uncarried.clear();
      for (const each of watches) this.#owner.onUncarried(each);
    });
  }

  // From the streams.

  nowMs(): number {
    return this.#clock.nowMs();
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#clock.after(delayMs, run);
  }

  onHeader(header: AnswerHeader): void {
    this.#backoff.reset();
    this.#owner.onHeader(header);
  }

  onAhead(watch: UpstreamWatch): void {
    this.#ahead.add(watch);
    this.#askLatest();
  }

  onRefused(watch: UpstreamWatch, stream: UpstreamStream, reason: string): void {
    this.#noteRefusal(watch, stream, reason);
    if (!watch.catchUp && !this.#ownStreams.has(stream) && saysTokenEnded(reason)) this.#retire(stream);
    this.#closeIfEmpty(stream);
    this.#owner.onUncarried(watch);
  }

  onCanceled(watch: UpstreamWatch, stream: UpstreamStream, reason: string): void {
    if (reason !== "") this.#noteRefusal(watch, stream, reason);
    else if (++watch.cancellations >= CANCELLATIONS_MAX)
      watch.refusals.set(stream.token, CANCELLED_WITHOUT_REASON);
    this.#closeIfEmpty(stream);
    this.#carryLater(watch);
  }

  onProgress(stream: UpstreamStream, progress: ProvenProgress): void {
    this.#owner.onProgress(stream, progress);
  }

  onWatchEnded(stream: UpstreamStream): void {
    this.#noteEnding();
    if (stream.size === 0 && this.streams.has(stream)) this.#closeEmptyLater();
    if (this.#alone.has(stream) || stream.retiring) this.#closeIfEmpty(stream);
  }

  onLost(stream: UpstreamStream, watches: readonly UpstreamWatch[], status: Status): void {
    this.streams.delete(stream);
    this.#alone.delete(stream);
    this.callsLeft++;
    this.#noteEnding();
    const refused = status.code === Code.UNAUTHENTICATED || status.code === Code.PERMISSION_DENIED;
    for (const watch of watches) {
      if (refused) this.#noteRefusal(watch, stream, cancelReason(status));
      if (stream.answered && !refused) this.#owner.onUncarried(watch);
      else this.#carryLater(watch);
    }
    this.#owner.onStreamLost(stream);
  }

  onSuperseded(stream: UpstreamStream): void {
    this.callsLeft++;
    if (this.streams.has(stream)) this.#retire(stream);
  }

  /** What came of a revision of the watch was too large to be kept until all of it had come. */
  onRevisionTooLarge(watch: UpstreamWatch): void {
    const { stream } = watch;
    if (stream === null || stream.ended) return;
    const { revisionBytesMax } = this.#limits;
    const reason = `events of one revision that take more than there is room for (at most ${revisionBytesMax} bytes)`;
    if (++watch.overlong >= OVERLONG_MAX) {
      watch.refusals.set(stream.token, `etcdproxy: the member tells of ${reason}`);
    }
    this.onFault(stream, "revisionBytes", reason);
  }

  onFault(stream: UpstreamStream, limit: MemberLimit | null, fault: string): void {
    const watches = [...stream.watches.values()];
    const message = `etcdproxy: on a Watch call the member sent ${fault}`;
    stream.reject(limit, message);
    stream.answered = false;
    this.onLost(stream, watches, { code: Code.INTERNAL, message });
  }

  onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void {
    this.#owner.onUpstreamEvents(bytes, events);
  }
}
