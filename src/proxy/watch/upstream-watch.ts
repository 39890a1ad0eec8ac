/**
 * One watch at a member, for many watches of clients.
 *
 * Takes events from the stream that carries it, keeps the recent ones, and hands them at the end of a turn to its
 * audiences. It outlives the stream: carried anew, it goes on from `nextRevision`, and what comes twice is
 * dropped by revision. Revisions are kept whole: events of a cut message wait for the rest.
 */
import { type AnswerMemory, HeldAnswer } from "../../grpc/answer-memory.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { keyOf, type AnswerHeader, type WatchResponseReader } from "../../etcd/watch-response.ts";
import type { Audience } from "./audience.ts";
import { Audiences } from "./audiences.ts";
import { EVENT_BYTES, EventBatch, runs } from "./event-batch.ts";
import { EventRing } from "./event-ring.ts";
import { EventsBody, type PickedEvent } from "./events-body.ts";
import { hasRevisions, joined, type LooseEvents, within } from "./loose-events.ts";
import type { Subscriber } from "./subscriber.ts";
import type { UpstreamStream } from "./upstream-stream.ts";

/** What the watch tells the hub of. */
export interface UpstreamWatchOwner {
  readonly messageBytesGoal: number;
  readonly fragmentBytesMax: number;
  readonly memberMessageRevisionsMax: number;
  readonly revisionBytesMax: number;
  /** Bounds what all watches hold together. */
  readonly memory: AnswerMemory | undefined;
  /** How much each ring may hold at the moment, in bytes. */
  ringBytesMax(): number;
  /** Calls `watch.flush` at the end of this turn. */
  flushSoon(watch: UpstreamWatch): void;
  /** The member has opened it for the first time: `floorRevision` and `nextRevision` are known. */
  onOpened(watch: UpstreamWatch): void;
  /** The events of one revision are too many to be kept until all have come: what carries the watch is to be given up. */
  onRevisionTooLarge(watch: UpstreamWatch): void;
  /** `nextRevision` has grown. */
  onAdvanced(watch: UpstreamWatch): void;
  /** Its events before `compactRevision` are gone, some that it needs among them. */
  onCompacted(watch: UpstreamWatch, compactRevision: number): void;
  /** The watch does not hold what the subscriber needs next. */
  onBehind(subscriber: Subscriber): void;
  /** The client of a live watch does not read: from `revision` on it has to be served later. */
  onFull(subscriber: Subscriber, revision: number): void;
  /** Whether the subscriber may watch its range is to be asked again; it sits nowhere. */
  onUnproven(subscriber: Subscriber): void;
  /** The member is quiet, as told by its own interval: clients that asked for it may be told. */
  onProgressInterval(watch: UpstreamWatch, header: AnswerHeader): void;
  onDelivered(events: number): void;
}

export class UpstreamWatch {
  readonly range: KeyRange;
  readonly prevKv: boolean;
  /** A catch-up watch: serves laggards until they are where the shared watch is. */
  readonly catchUp: boolean;
  /** What carries it; null while nothing does. */
  stream: UpstreamStream | null = null;
  /** Its id on that stream. */
  streamWatchId = 0;
  /** Live once the member has opened it on the stream that carries it. */
  live = false;
  closed = false;
  /** Tokens whose permission did not do for it, with what the member said. */
  readonly refusals = new Map<string, string>();
  /** The proxy's own user may not watch it, as the member said when the watch was opened. */
  ownDenied = false;
  /** Wait for their first revision, or for it to open. */
  readonly future = new Set<Subscriber>();
  /** When it was opened first, and when it last told anything new, in milliseconds of the hub's clock. */
  openedAtMs = 0;
  advancedAtMs = 0;
  /** When clients were last told of its progress by the member's interval. */
  progressToldAtMs = Number.NEGATIVE_INFINITY;
  /** The last progress round that its stream has answered. */
  provenRound = 0;
  /** The newest revision that its member is said to have reached on it; `nextRevision` is what is proven. */
  saidRevision = 0;
  /** Times in a row that the member ended it and said nothing of why. */
  cancellations = 0;
  /** Times in a row that a revision of it was too large to be kept until all of it had come. */
  overlong = 0;
  /** It may be that its start is compacted: the member has not shown yet that it is not. */
  unproven = false;
  /** The last known revision is compacted: resume right behind it. */
  resumeBehind = false;
  readonly #owner: UpstreamWatchOwner;
  readonly #startRevision: number;
  /** Null until it has been opened once. */
  #ring: EventRing | null = null;
  #pending: EventBatch[] = [];
  #flushing = false;
  /** Events of a message whose last revision goes on in the next one. */
  #cut: LooseEvents[] = [];
  #cutBytes = 0;
  /** A revision was too large: what still comes on this stream is passed over. */
  #broken = false;
  /** What it keeps. */
  readonly #held: HeldAnswer;
  /** The last replay made: many come back at the same revision. Kept until the end of the turn. */
  #lastReplay: { audience: Audience; fromRevision: number; bodies: readonly EventsBody[] } | null = null;
  readonly #audiences: Audiences;

  /** `startRevision` 0: from now. */
  constructor(
    owner: UpstreamWatchOwner,
    range: KeyRange,
    options: { prevKv: boolean; catchUp: boolean; startRevision: number },
  ) {
    this.#owner = owner;
    this.range = range;
    this.#audiences = new Audiences(range);
    this.prevKv = options.prevKv;
    this.catchUp = options.catchUp;
    this.#startRevision = options.startRevision;
    this.#held = new HeldAnswer(owner.memory, () => this.#giveUp());
  }

  /** It has been opened: what it holds is known. */
  get opened(): boolean {
    return this.#ring !== null;
  }

  /** The oldest revision a subscriber may join from; infinite before it is opened. */
  get floorRevision(): number {
    return this.#ring?.floorRevision ?? Number.POSITIVE_INFINITY;
  }

  /** The first revision that may still come. */
  get nextRevision(): number {
    return this.#ring?.nextRevision ?? this.#startRevision;
  }

  /**
   * Where to start on another stream. The last known revision is asked for once more: a watch that starts beyond
   * the member's revision would keep the stream's progress requests from being answered.
   */
  get resumeRevision(): number {
    if (this.#ring === null) return this.#startRevision;
    return Math.max(1, this.#ring.nextRevision - (this.resumeBehind ? 0 : 1));
  }

  /** Nobody is here. */
  get empty(): boolean {
    return this.#audiences.size === 0 && this.future.size === 0;
  }

  // From the stream.

  /** The member has opened it, starting at `startRevision` (0: behind `header.revision`). */
  onCreated(header: AnswerHeader, startRevision: number, nowMs: number): void {
    this.live = true;
    this.refusals.clear();
    if (this.#ring !== null) {
      this.#removeUnproven(this.#ring.nextRevision);
      return;
    }
    this.openedAtMs = nowMs;
    this.#ring = new EventRing(startRevision === 0 ? header.revision + 1 : startRevision);
    this.#owner.onOpened(this);
  }

  /** Events read from `bytes`, which are ours to keep. */
  onEvents({ header, events, fragment }: WatchResponseReader, bytes: Uint8Array): void {
    this.#take(header, { bytes, events }, fragment);
  }

  /** All up to `revision` has come. */
  provenTo(revision: number): void {
    const ring = this.#ring;
    if (ring === null) return;
    this.flush();
    if (revision < ring.nextRevision) return;
    this.#onSignOfLife();
    ring.provenTo(revision);
    this.#owner.onAdvanced(this);
    this.admitFuture();
  }

  onProgress(header: AnswerHeader): void {
    this.provenTo(header.revision);
    this.#owner.onProgressInterval(this, header);
  }

  onCompacted(compactRevision: number): void {
    this.live = false;
    this.#forgetCut();
    this.#owner.onCompacted(this, compactRevision);
  }

  /** The stream is gone; what had come of an unfinished message is asked for again. */
  onStreamLost(): void {
    this.live = false;
    this.stream = null;
    this.#broken = false;
    this.#forgetCut();
  }

  /** Nobody wants it any more. */
  close(): void {
    this.closed = true;
    this.#count();
  }

  // Subscribers.

  /**
   * Takes a subscriber whose `nextRevision` is at or above the floor, right behind `flush`: replays what it has
   * missed and gives it a seat. False when its client does not read that fast: then its `nextRevision` has moved to where it stopped.
   */
  join(subscriber: Subscriber): boolean {
    const ring = this.#ring!;
    if (subscriber.nextRevision > ring.nextRevision) {
      this.wait(subscriber);
      return true;
    }
    if (!this.#mayBeShown(subscriber)) {
      this.#owner.onUnproven(subscriber);
      return true;
    }
    const audience = this.#audiences.of(subscriber);
    if (subscriber.nextRevision < ring.nextRevision && !this.#replay(subscriber, audience)) {
      this.#audiences.dropIfEmpty(audience);
      return false;
    }
    subscriber.state = "live";
    subscriber.watch = this;
    audience.add(subscriber);
    return true;
  }

  /** Whether a subscriber has proven its range since the call was opened that carries the watch, or by carrying it. */
  #mayBeShown({ provenAt, stream: { token } }: Subscriber): boolean {
    const { stream } = this;
    return stream === null || provenAt >= stream.openedAt || token === stream.token;
  }

  /** Another call carries the watch: who has not proven his range since has to do so before it shows anything. */
  #removeUnproven(nextRevision: number): void {
    this.flush();
    for (const audience of [...this.audiences()]) {
      for (const subscriber of [...audience.subscribers()]) {
        if (this.#mayBeShown(subscriber)) continue;
        subscriber.detach(nextRevision);
        this.#owner.onUnproven(subscriber);
      }
    }
  }

  /** Keeps a subscriber until its first revision has come, or until the watch is opened. */
  wait(subscriber: Subscriber): void {
    subscriber.state = "future";
    subscriber.watch = this;
    this.future.add(subscriber);
  }

  remove(subscriber: Subscriber): void {
    if (this.future.delete(subscriber)) return;
    const audience = subscriber.seat?.audience;
    if (audience === undefined) return;
    audience.remove(subscriber);
    this.#audiences.dropIfEmpty(audience);
  }

  /** Everyone who is here. */
  subscribers(): Subscriber[] {
    const all: Subscriber[] = [...this.future];
    for (const audience of this.audiences()) all.push(...audience.subscribers());
    return all;
  }

  audiences(): Iterable<Audience> {
    return this.#audiences;
  }

  // Delivery.

  /** Hands what has come to those who are here. */
  flush(): void {
    this.#flushing = false;
    this.#lastReplay = null;
    if (this.#pending.length === 0) return;
    const batches = this.#pending;
    this.#pending = [];
    // A few are told one by one, as a member does it; in a storm they share messages.
    const bytesGoal = batches.length <= TOLD_APART_MAX ? 0 : this.#owner.messageBytesGoal;
    for (const run of runs(batches, bytesGoal)) this.#deliver(run);
    this.admitFuture();
    this.#ring!.trim(this.#owner.ringBytesMax());
    this.#count();
  }

  #take(header: AnswerHeader, part: LooseEvents, goesOn: boolean): void {
    const ring = this.#ring;
    if (ring === null || this.#broken) return;
    if (goesOn && this.#continues(part)) {
      this.#keepCut(part);
      return;
    }
    const complete = !goesOn && this.#cut.length === 0 && this.#tellsAll(part);
    let parts = [...this.#cut, part];
    this.#forgetCut();
    if (goesOn) {
      const cutRevision = part.events.at(-1)?.revision ?? Number.NEGATIVE_INFINITY;
      // Events come in the order of their revisions: what is cut is in this part alone.
      this.#keepCut(within(part, (revision) => revision === cutRevision));
      parts = parts.map((each) => within(each, (revision) => revision !== cutRevision));
    }
    const { nextRevision } = ring;
    const whole = joined(parts.map((each) => within(each, (revision) => revision >= nextRevision)));
    if (whole.events.length === 0) return;
    this.#onSignOfLife();
    // Counted as it came, repeats and all.
    const toldRevision = Math.max(whole.events.at(-1)!.revision, complete ? header.revision : 0);
    const batch = new EventBatch(header, whole.bytes, whole.events, toldRevision);
    ring.push(batch);
    this.#pending.push(batch);
    this.#flushSoon();
    this.#owner.onAdvanced(this);
    this.#count();
  }

  /** Whether a part that goes on has nothing but events of the revision that is cut already. */
  #continues({ events }: LooseEvents): boolean {
    const revision = this.#cut[0]?.events[0]?.revision;
    // In order, so that the first and the last tell of all.
    return revision !== undefined && events[0]?.revision === revision && events.at(-1)?.revision === revision;
  }

  #keepCut(part: LooseEvents): void {
    this.#cut.push(part);
    this.#cutBytes += part.bytes.length + part.events.length * EVENT_BYTES + PART_BYTES;
    if (this.#cutBytes > this.#owner.revisionBytesMax) this.#breakOff();
    else this.#count();
  }

  #forgetCut(): void {
    if (this.#cut.length === 0) return;
    this.#cut = [];
    this.#cutBytes = 0;
    this.#count();
  }

  /** Nothing of the revision that is cut is told, nor of what follows it here. */
  #breakOff(): void {
    this.#broken = true;
    this.#forgetCut();
    this.#owner.onRevisionTooLarge(this);
  }

  /** Memory is needed, and this watch holds most of it. */
  #giveUp(): void {
    const ring = this.#ring;
    if (ring === null || this.#cutBytes > ring.heldBytes) {
      this.#breakOff();
    } else {
      ring.clear();
      this.#count();
    }
  }

  #count(): void {
    this.#held.holds(this.closed ? 0 : (this.#ring?.heldBytes ?? 0) + this.#cutBytes);
  }

  /** Whether a whole message has all up to its header's revision: one with as many revisions as it may has not. */
  #tellsAll({ events }: LooseEvents): boolean {
    return !hasRevisions(events, this.#owner.memberMessageRevisionsMax);
  }

  /** The member serves it: what was in doubt is not any more. */
  #onSignOfLife(): void {
    this.unproven = false;
    this.cancellations = 0;
    this.overlong = 0;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#owner.flushSoon(this);
  }

  #deliver(batches: readonly EventBatch[]): void {
    for (const audience of this.#audiences.pick(batches)) {
      const { picked } = audience;
      audience.picked = [];
      this.#hand(audience, EventsBody.of(batches, picked, audience.options.prevKv));
    }
  }

  #hand(audience: Audience, body: EventsBody): void {
    audience.quiet = false;
    let delivered = 0;
    // A copy: a client may go away while it is sent to.
    for (const { stream, subscribers } of audience.seats.slice()) {
      if (this.catchUp ? stream.queue.overfull : stream.queue.full) {
        for (const subscriber of subscribers.slice()) this.#owner.onFull(subscriber, body.firstRevision);
      } else {
        stream.sendEvents(body, subscribers, this.#owner.fragmentBytesMax);
        delivered += subscribers.length;
      }
    }
    this.#owner.onDelivered(delivered * body.eventCount);
  }

  #replay(subscriber: Subscriber, audience: Audience): boolean {
    const { stream } = subscriber;
    const ring = this.#ring!;
    for (const body of this.#replayBodies(audience, subscriber.nextRevision)) {
      if (stream.queue.full) {
        subscriber.nextRevision = body.firstRevision;
        return false;
      }
      stream.sendEvents(body, [subscriber], this.#owner.fragmentBytesMax);
      this.#owner.onDelivered(body.eventCount);
    }
    subscriber.nextRevision = ring.nextRevision;
    return true;
  }

  #replayBodies(audience: Audience, fromRevision: number): readonly EventsBody[] {
    const ring = this.#ring!;
    const last = this.#lastReplay;
    if (last?.audience === audience && last.fromRevision === fromRevision) return last.bodies;
    const bodies: EventsBody[] = [];
    const batches = ring.from(fromRevision);
    for (const run of runs(batches, this.#owner.messageBytesGoal)) {
      const picked = pick(audience, run, fromRevision);
      if (picked.length === 0) continue;
      const { header, toldRevision } = run.at(-1)!;
      // The last one tells all that there is.
      const revision = run.at(-1) === batches.at(-1) ? ring.nextRevision - 1 : toldRevision;
      const firstRevision = picked[0]!.event.revision;
      bodies.push(new EventsBody(header, { firstRevision, revision }, picked, audience.options.prevKv));
    }
    this.#lastReplay = { audience, fromRevision, bodies };
    this.#flushSoon();
    return bodies;
  }

  /** Gives a seat to those who wait and whose first revision has come. Right behind `flush`. */
  admitFuture(): void {
    if (this.future.size === 0) return;
    const { nextRevision } = this;
    for (const subscriber of [...this.future]) {
      if (subscriber.nextRevision > nextRevision || !this.future.delete(subscriber)) continue;
      subscriber.watch = null;
      if (subscriber.nextRevision < this.floorRevision) this.#owner.onBehind(subscriber);
      else if (!this.join(subscriber)) this.#owner.onFull(subscriber, subscriber.nextRevision);
    }
  }
}

/** What a part of a cut message costs besides its bytes and events, about. */
const PART_BYTES = 256;
/** Messages of a member within one turn that are told as they came. */
const TOLD_APART_MAX = 8;

/** What an audience sees of some batches from a revision on. */
function pick(audience: Audience, batches: readonly EventBatch[], fromRevision: number): PickedEvent[] {
  const picked: PickedEvent[] = [];
  for (const { bytes, events } of batches) {
    for (const event of events) {
      if (event.revision < fromRevision || !audience.wants(event.isDelete)) continue;
      if (audience.range.contains(keyOf(bytes, event))) picked.push({ bytes, event });
    }
  }
  return picked;
}
