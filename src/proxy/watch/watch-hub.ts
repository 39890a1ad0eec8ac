/**
 * Any number of clients' watches on few watches at the members.
 *
 * Stands between the Watch calls of clients and the calls to members. It puts the parts together and passes on
 * what happens between them: a client's requests (`client-stream`), what clients want (`demand`), the upstream
 * watches they share (`shared-watches`), those for who is behind (`catch-ups`), and the calls that carry both
 * (`carriers`).
 */
import { Backoff } from "../../base/backoff.ts";
import { BurstGarbage } from "../../base/burst-garbage.ts";
import type { Clock } from "../../base/clock.ts";
import { saysRefused } from "../../etcd/auth-refusal.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { AnswerHeader, WatchEvent } from "../../etcd/watch-response.ts";
import type { AnswerMemory } from "../../grpc/answer-memory.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import type { Status } from "../../grpc/status.ts";
import type { BufferBudget } from "../../http2/buffer-budget.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import type { EndlessCall } from "../endless-calls.ts";
import { Carriers, type CarriersOwner } from "./carriers.ts";
import { CatchUps } from "./catch-ups.ts";
import { ClientStream, type ClientStreamOwner } from "./client-stream.ts";
import { Demand } from "./demand.ts";
import { HeldBodies } from "./held-bodies.ts";
import { LeaderMonitor } from "./leader-monitor.ts";
import type { ProvenProgress } from "./progress-answers.ts";
import { ProgressRounds } from "./progress-rounds.ts";
import { type ProbeAnswer, RevisionProbes } from "./revision-probes.ts";
import { SharedWatches } from "./shared-watches.ts";
import type { Subscriber } from "./subscriber.ts";
import type { UpstreamStream } from "./upstream-stream.ts";
import type { UpstreamWatch, UpstreamWatchOwner } from "./upstream-watch.ts";
import type { WatchCalls } from "./watch-calls.ts";
import { endBroken, WatchProofs, type WatchProofsOwner } from "./watch-proofs.ts";
import { WATCH_LIMITS, type WatchLimits } from "./watch-limits.ts";
import { WatchStats } from "./watch-stats.ts";

export interface WatchHubOptions {
  readonly calls: WatchCalls;
  readonly clock: Clock;
  /** The largest request message a client may send, in bytes. */
  readonly requestBytesMax?: number;
  readonly limits?: Partial<WatchLimits>;
  /** Bounds what waits for clients, together with whoever shares it. */
  readonly budget?: BufferBudget;
  /** Bounds what is kept of members' answers. */
  readonly memory?: AnswerMemory;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
  /** Is told what members say of keys, before any client is. */
  readonly events?: KeyEventListener;
  /** The proxy's own user: shared watches ride in its name where it may read the range. */
  readonly own?: OwnIdentity | null;
  /** Collects garbage when many watches have been opened at once. */
  readonly collectGarbage?: () => void;
}

/** Who is told of what happens to keys. */
export interface KeyEventListener {
  /** Events of a member, read from `bytes`. */
  onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void;
  /** What is below `revision` is compacted. */
  onCompacted(revision: number): void;
}

/** How long an upstream watch outlives its last client: clients that reconnect find it. */
const LINGER_MS = 1000;
/** How often the shared watches' progress is asked for, so that they can be resumed from near the present. */
const BOOKMARK_MS = 5_000;
/** A member's interval of progress notifications is this long at least (etcd's own bound is 100 ms). */
const PROGRESS_INTERVAL_MIN_MS = 50;
/** etcd's default interval of progress notifications, in bookmarks. */
const BOOKMARKS_PER_NOTIFICATION = 120;
const REQUEST_BYTES_MAX = 1536 * 1024;
/** Watches opened at once that leave garbage worth collecting, some megabytes. */
const CREATES_IN_BURST = 2000;

export class WatchHub implements ClientStreamOwner, UpstreamWatchOwner, CarriersOwner, WatchProofsOwner {
  readonly limits: WatchLimits;
  readonly requestBytesMax: number;
  readonly held: HeldBodies;
  readonly memory: AnswerMemory | undefined;
  lastHeader: AnswerHeader | null = null;
  readonly #stats = new WatchStats();
  readonly #clock: Clock;
  readonly #demand = new Demand();
  readonly #streams = new Set<ClientStream>();
  readonly #probes: RevisionProbes;
  readonly #shared: SharedWatches;
  readonly #catchUps: CatchUps;
  readonly #carriers: Carriers;
  readonly #proofs: WatchProofs;
  readonly #progress: ProgressRounds;
  readonly #leader: LeaderMonitor;
  readonly #creates: BurstGarbage;
  readonly #events: KeyEventListener | undefined;
  readonly #own: OwnIdentity | null;
  /** Client streams with a create that waits for its main watch to open. */
  readonly #waitingForMain = new Set<ClientStream>();
  /** `lastHeader` is of a connection that was left: what a member says now counts more. */
  #headerOfOtherMember = false;
  #waking = false;
  #flushing: UpstreamWatch[] = [];
  #tidyPlanned = false;
  #cancelBookmark: (() => void) | null = null;
  /** How client streams end from now on. */
  #dismissal: Status | null = null;
  #bookmarks = 0;

  constructor(options: WatchHubOptions) {
    const { calls, clock } = options;
    const random = options.random ?? Math.random;
    this.limits = { ...WATCH_LIMITS, ...options.limits };
    this.requestBytesMax = options.requestBytesMax ?? REQUEST_BYTES_MAX;
    this.memory = options.memory;
    this.held = new HeldBodies(options.budget, this);
    this.#clock = clock;
    this.#events = options.events;
    this.#own = options.own ?? null;
    const backoff = (): Backoff => new Backoff({ firstMs: 50, limitMs: 2000, random });
    this.#probes = new RevisionProbes(calls, clock, this.limits.hangMs, () => this.lastHeader);
    this.#shared = new SharedWatches(clock, this.#demand, this, this);
    const { limits } = this;
    this.#carriers = new Carriers({ calls, clock, limits, backoff: backoff(), own: this.#own, owner: this });
    this.#shared.useCarriers(this.#carriers);
    this.#catchUps = new CatchUps({
      limits: this.limits,
      clock,
      shared: this.#shared,
      carriers: this.#carriers,
      watchOwner: this,
      owner: this,
    });
    this.#proofs = new WatchProofs(clock, this);
    this.#progress = new ProgressRounds(clock, () => this.#carriers.streams);
    this.#leader = new LeaderMonitor(calls, clock, backoff());
    const collect = options.collectGarbage ?? (() => {});
    this.#creates = new BurstGarbage({ clock, burst: CREATES_IN_BURST, collect });
  }

  /** What has been counted up to now. */
  get stats(): WatchStats {
    const stats = this.#stats;
    stats.upstreamWatches = this.#shared.size + this.#catchUps.size;
    stats.upstreamStreams = this.#carriers.size + this.#leader.size;
    stats.catchUps = this.#catchUps.size;
    return stats;
  }

  /** Serves a client's Watch call. */
  serve(call: ServerCall): void {
    const stream = new ClientStream(call, this);
    this.#streams.add(stream);
    this.#stats.clientStreams++;
    this.#carriers.clientCame(stream.token);
    if (stream.requiresLeader) this.#leader.add(stream);
    if (this.#cancelBookmark === null) this.#planBookmark();
    if (this.#dismissal !== null) stream.dismiss(this.#dismissal);
  }

  /** Further client streams are ended with `status` as they come; returns those that are open. */
  dismissNew(status: Status): readonly EndlessCall[] {
    this.#dismissal = status;
    return [...this.#streams];
  }

  /** The channel has come to use another connection. */
  onConnected(): void {
    this.#headerOfOtherMember = true;
  }

  /** Ends all calls to members. Client streams are their owner's business. */
  close(): void {
    this.#cancelBookmark?.();
    this.#leader.close();
    this.#carriers.close();
  }

  // From client streams.

  probe(
    token: string,
    range: KeyRange | null,
    startRevision: number,
    onAnswer: (answer: ProbeAnswer) => void,
  ): void {
    this.#probes.ask(token, range, startRevision, (answer) => {
      if (answer.kind === "allowed") this.onHeader(answer.header);
      else if (answer.kind === "refused") this.#own?.onRefused(token, answer.reason);
      onAnswer(answer);
    });
  }

  get callsLeft(): number {
    return this.#carriers.callsLeft;
  }

  prepare(subscriber: Subscriber): void {
    this.#demand.add(subscriber);
    this.#stats.clientWatches++;
    this.#creates.worked();
    this.#shared.prepare(subscriber);
  }

  reachedRevision(subscriber: Subscriber): number | null {
    const watch = this.#shared.prepare(subscriber);
    if (watch.opened) return watch.nextRevision - 1;
    this.#waitingForMain.add(subscriber.stream);
    return null;
  }

  start(subscriber: Subscriber): void {
    this.#shared.join(subscriber);
  }

  release(subscriber: Subscriber): void {
    if (subscriber.ended) return;
    subscriber.detach(subscriber.nextRevision);
    this.#leaveLaggards(subscriber);
    this.#catchUps.forget(subscriber);
    subscriber.state = "ended";
    this.#demand.remove(subscriber);
    this.#stats.clientWatches--;
    this.#tidyLater();
  }

  askProgress(stream: ClientStream): void {
    this.#progress.ask(stream);
  }

  onRoomy(stream: ClientStream): void {
    this.#catchUps.onRoomy();
    const { laggards } = stream;
    for (const subscriber of [...laggards]) {
      if (stream.queue.full) return;
      this.#leaveLaggards(subscriber);
      this.#stats.replays++;
      this.#shared.join(subscriber);
    }
  }

  onStreamClosed(stream: ClientStream): void {
    this.#streams.delete(stream);
    this.#stats.clientStreams--;
    this.#waitingForMain.delete(stream);
    this.#progress.forget(stream);
    this.#leader.remove(stream);
    this.#carriers.clientWent(stream.token);
  }

  // From upstream watches.

  get messageBytesGoal(): number {
    return this.limits.messageBytesGoal;
  }

  get memberMessageRevisionsMax(): number {
    return this.limits.memberMessageRevisionsMax;
  }

  get fragmentBytesMax(): number {
    return this.limits.fragmentBytesMax;
  }

  get revisionBytesMax(): number {
    return this.limits.revisionBytesMax;
  }

  ringBytesMax(): number {
    const { ringBytesMax, ringsBytesMax } = this.limits;
    return Math.min(ringBytesMax, ringsBytesMax / Math.max(1, this.#shared.size + this.#catchUps.size));
  }

  flushSoon(watch: UpstreamWatch): void {
    if (this.#flushing.push(watch) === 1) this.#clock.endOfTurn(() => this.#flush());
  }

  #flush(): void {
    const watches = this.#flushing;
    this.#flushing = [];
    for (const watch of watches) {
      watch.flush();
      if (watch.catchUp) this.#catchUps.onDelivered(watch);
    }
  }

  onOpened(watch: UpstreamWatch): void {
    if (watch.catchUp) this.#catchUps.onOpened(watch);
    else this.#shared.onOpened(watch);
  }

  onAdvanced(watch: UpstreamWatch): void {
    watch.advancedAtMs = this.#clock.nowMs();
    this.#shared.settleSoon();
  }

  onRevisionTooLarge(watch: UpstreamWatch): void {
    // Whoever needs memory is half-way through something of his own.
    this.#clock.endOfTurn(() => this.#carriers.onRevisionTooLarge(watch));
  }

  onCompacted(watch: UpstreamWatch, compactRevision: number): void {
    this.#events?.onCompacted(compactRevision);
    if (watch.catchUp) this.#catchUps.onCompacted(watch, compactRevision);
    else this.#shared.onCompacted(watch, compactRevision);
  }

  onFull(subscriber: Subscriber, revision: number): void {
    if (subscriber.ended) return;
    this.#stats.lagged++;
    subscriber.detach(revision);
    this.onLagging(subscriber);
  }

  onUnproven(subscriber: Subscriber): void {
    this.#proofs.renew(subscriber);
  }

  onProven(subscriber: Subscriber): void {
    this.#shared.join(subscriber);
  }

  onProgressInterval(watch: UpstreamWatch, header: AnswerHeader): void {
    const nowMs = this.#clock.nowMs();
    if (watch.catchUp || nowMs - watch.progressToldAtMs < PROGRESS_INTERVAL_MIN_MS) return;
    watch.progressToldAtMs = nowMs;
    for (const audience of watch.audiences()) {
      if (audience.options.progressNotify && audience.quiet) {
        for (const subscriber of audience.subscribers()) {
          if (!subscriber.stream.queue.full) {
            subscriber.stream.sendProgress(subscriber.id, header, watch.nextRevision - 1);
          }
        }
      }
      audience.quiet = true;
    }
  }

  onDelivered(events: number): void {
    this.#stats.deliveredEvents += events;
  }

  // From shared watches and catch-ups.

  onBehind(subscriber: Subscriber): void {
    if (subscriber.ended) return;
    this.#stats.replays++;
    this.#catchUps.request(subscriber);
  }

  onLagging(subscriber: Subscriber): void {
    if (subscriber.ended) return;
    subscriber.state = "lagging";
    const { laggards } = subscriber.stream;
    if (laggards.has(subscriber)) return;
    laggards.add(subscriber);
    this.#stats.laggingWatches++;
    // Nothing waits that could leave and say so.
    if (subscriber.stream.queue.roomy) this.#clock.endOfTurn(() => this.onRoomy(subscriber.stream));
  }

  #leaveLaggards(subscriber: Subscriber): void {
    if (subscriber.stream.laggards.delete(subscriber)) this.#stats.laggingWatches--;
  }

  onWatchClosed(watch: UpstreamWatch): void {
    if (watch.catchUp) this.#catchUps.onClosed(watch);
  }

  onImpossible(subscriber: Subscriber, why: { reason: string; compactRevision: number }): void {
    if (subscriber.ended) return;
    if (subscriber.state === "expected") {
      subscriber.refusal = why.reason;
      this.#demand.remove(subscriber);
      this.#waitingForMain.add(subscriber.stream);
      this.onMainChanged();
    } else if (saysRefused(why.reason)) {
      endBroken(subscriber, why.reason);
    } else {
      subscriber.stream.sendCanceled(subscriber, why);
    }
  }

  onMainChanged(): void {
    this.#catchUps.onChanged();
    if (this.#waking || this.#waitingForMain.size === 0) return;
    this.#waking = true;
    this.#clock.endOfTurn(() => {
      this.#waking = false;
      const streams = [...this.#waitingForMain];
      this.#waitingForMain.clear();
      for (const stream of streams) stream.advance();
    });
  }

  // From carriers.

  tokensFor(watch: UpstreamWatch): Iterable<string> {
    return watch.catchUp ? this.#catchUps.tokensFor(watch) : this.#demand.tokensOf(watch.range);
  }

  onUnreal(watches: readonly UpstreamWatch[], toldRevision: number, latestRevision: number): void {
    const reason = `etcdproxy: a member told of revision ${toldRevision}, which the cluster at ${latestRevision} has not come to`;
    for (const stream of this.#streams) stream.onUnreal(toldRevision, latestRevision, reason);
    for (const watch of watches) if (!watch.catchUp) this.#shared.onUnreal(watch);
  }

  onRefused(watch: UpstreamWatch, reason: string): void {
    if (watch.catchUp) this.#catchUps.onRefused(watch, reason);
    else this.#shared.onRefused(watch, reason);
  }

  onUncarried(watch: UpstreamWatch): void {
    if (watch.closed) return;
    this.#stats.resumed++;
    this.#shared.onUncarried(watch);
  }

  onCarrierRetiring(watch: UpstreamWatch): void {
    this.#shared.onCarrierRetiring(watch);
  }

  onHeader(header: AnswerHeader): void {
    const older = header.revision < (this.lastHeader?.revision ?? 0);
    if (older && !this.#headerOfOtherMember) return;
    this.lastHeader = header;
    this.#headerOfOtherMember = false;
  }

  onProgress(stream: UpstreamStream, progress: ProvenProgress): void {
    this.#progress.onProgress(stream, progress);
  }

  onStreamLost(stream: UpstreamStream): void {
    this.#progress.onStreamLost(stream);
  }

  onUpstreamEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void {
    this.#stats.upstreamEvents += events.length;
    this.#events?.onEvents(bytes, events);
  }

  // Upkeep.

  /** Makes the watches lag that have most waiting; false when nothing waits anywhere. */
  shedLargestQueue(): boolean {
    let largest: ClientStream | null = null;
    for (const stream of this.#streams) {
      if (stream.queue.heldBytes > (largest?.queue.heldBytes ?? 0)) largest = stream;
    }
    if (largest === null) return false;
    const progressDropped = largest.queue.dropEvents((subscriber, revision) => {
      this.#takeBack(subscriber, revision);
    });
    if (progressDropped) this.#progress.ask(largest);
    return true;
  }

  /** What a watch was to be sent from `revision` on it has to be sent later. */
  #takeBack(subscriber: Subscriber, revision: number): void {
    if (subscriber.ended) return;
    if (subscriber.state === "lagging") {
      subscriber.nextRevision = Math.min(subscriber.nextRevision, revision);
    } else {
      const known = subscriber.state === "future" ? subscriber.nextRevision : revision;
      this.onFull(subscriber, Math.min(known, revision));
    }
  }

  #tidyLater(): void {
    if (this.#tidyPlanned) return;
    this.#tidyPlanned = true;
    this.#clock.after(LINGER_MS, () => {
      this.#tidyPlanned = false;
      this.#shared.tidy();
      this.#carriers.closeEmpty();
    });
  }

  #planBookmark(): void {
    this.#cancelBookmark = this.#clock.after(BOOKMARK_MS, () => {
      this.#cancelBookmark = null;
      if (this.#streams.size === 0) return;
      const notify = ++this.#bookmarks % BOOKMARKS_PER_NOTIFICATION === 0;
      this.#progress.run(() => {
        if (!notify || this.lastHeader === null) return;
        for (const main of this.#shared.mains()) {
          // Older members prove nothing by their answers; their own interval does.
          if (main.stream?.progressUnordered === false) this.onProgressInterval(main, this.lastHeader);
        }
      });
      this.#planBookmark();
    });
  }
}
