/**
 * Watches for those who are behind what the shared watches still hold.
 *
 * Laggards of one range that are about equally far behind share a catch-up watch; there are only so many at once,
 * and the rest wait. A catch-up watch is a retiring one from the beginning: whoever rides on it moves to the
 * shared watch when it has come up to that. While none of its clients reads, the member is held back; one that
 * goes on not reading loses its place.
 */
import type { Clock } from "../../base/clock.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Carriers } from "./carriers.ts";
import { mayJoin, ownReason, type SharedWatches } from "./shared-watches.ts";
import type { Subscriber } from "./subscriber.ts";
import { UpstreamWatch, type UpstreamWatchOwner } from "./upstream-watch.ts";
import type { WatchLimits } from "./watch-limits.ts";

export interface CatchUpsOwner {
  /** The subscriber's client does not read; it goes on where its `nextRevision` says. */
  onLagging(subscriber: Subscriber): void;
  onImpossible(subscriber: Subscriber, why: { reason: string; compactRevision: number }): void;
}

/** How often held-back and quiet catch-up watches are looked at. */
const CHECK_MS = 100;
/** How long one may be held back by its clients while others wait for a place. */
const HELD_BACK_MS = 1000;
/** How long one may be held back at all: its clients do not read. */
const HELD_BACK_MAX_MS = 5000;
/** Without proof of its progress a catch-up watch that is quiet for so long takes the shared watch's place. */
const QUIET_MS = 1000;

interface CatchUp {
  readonly watch: UpstreamWatch;
  /** Since when none of its clients has room, in milliseconds; null while one has. */
  heldBackSinceMs: number | null;
}

export class CatchUps {
  readonly #limits: WatchLimits;
  readonly #clock: Clock;
  readonly #shared: SharedWatches;
  readonly #carriers: Carriers;
  readonly #watchOwner: UpstreamWatchOwner;
  readonly #owner: CatchUpsOwner;
  readonly #open = new Map<UpstreamWatch, CatchUp>();
  /** First come, first served. */
  readonly #waiting = new Set<Subscriber>();
  /** Main watches whose whole range nobody could be found for: laggards of different ranges catch up apart. */
  readonly #apart = new WeakSet<UpstreamWatch>();
  #assigning = false;
  #checkPlanned = false;

  constructor(parts: {
    limits: WatchLimits;
    clock: Clock;
    shared: SharedWatches;
    carriers: Carriers;
    watchOwner: UpstreamWatchOwner;
    owner: CatchUpsOwner;
  }) {
    this.#limits = parts.limits;
    this.#clock = parts.clock;
    this.#shared = parts.shared;
    this.#carriers = parts.carriers;
    this.#watchOwner = parts.watchOwner;
    this.#owner = parts.owner;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The subscriber needs history from its `nextRevision` on. */
  request(subscriber: Subscriber): void {
    subscriber.state = "lagging";
    this.#waiting.add(subscriber);
    this.#assignSoon();
  }

  /** The subscriber needs nothing any more, or not now. */
  forget(subscriber: Subscriber): void {
    this.#waiting.delete(subscriber);
  }

  /** Those who could carry a catch-up watch: its riders, and who is on the main watch if it is that one's range. */
  *tokensFor(watch: UpstreamWatch): Generator<string> {
    const main = this.#shared.find(watch.range);
    const carrier = main?.stream ?? null;
    if (carrier !== null && main?.range.equals(watch.range) === true) yield carrier.token;
    for (const { stream, range } of watch.subscribers()) if (range.covers(watch.range)) yield stream.token;
  }

  onOpened(watch: UpstreamWatch): void {
    watch.admitFuture();
    this.#shared.retire(watch);
    watch.stream?.requestProgress();
    this.#planCheck();
  }

  /** The main watches have changed, or a place is free. */
  onChanged(): void {
    if (this.#waiting.size > 0) this.#assignSoon();
  }

  onClosed(watch: UpstreamWatch): void {
    if (this.#open.delete(watch)) this.onChanged();
  }

  /** No token does for it. */
  onRefused(watch: UpstreamWatch, reason: string): void {
    const riders = watch.subscribers();
    for (const rider of riders) rider.detach(rider.nextRevision);
    this.#close(watch);
    const main = this.#shared.find(watch.range);
    if (main !== undefined) this.#apart.add(main);
    for (const rider of riders) {
      if (rider.range.equals(watch.range)) {
        this.#owner.onImpossible(rider, { reason: ownReason(rider, watch, reason), compactRevision: 0 });
      } else if (!rider.ended) this.request(rider);
    }
  }

  onCompacted(watch: UpstreamWatch, compactRevision: number): void {
    watch.flush();
    const next = watch.nextRevision;
    const riders = watch.subscribers();
    for (const rider of riders) rider.detach(rider.state === "live" ? next : rider.nextRevision);
    this.#close(watch);
    for (const rider of riders) {
      if (rider.ended) continue;
      if (rider.nextRevision < compactRevision)
        this.#owner.onImpossible(rider, { reason: "", compactRevision });
      else this.request(rider);
    }
  }

  /** After events have been handed out: holds the member back while nobody can take more. */
  onDelivered(watch: UpstreamWatch): void {
    const catchUp = this.#open.get(watch);
    if (catchUp === undefined || catchUp.heldBackSinceMs !== null || hasReader(watch)) return;
    catchUp.heldBackSinceMs = this.#clock.nowMs();
    watch.stream?.pause();
    this.#planCheck();
  }

  /** A client has read. */
  onRoomy(): void {
    for (const catchUp of this.#open.values()) {
      if (hasReader(catchUp.watch)) this.#release(catchUp);
    }
  }

  /** The member may go on. */
  #release(catchUp: CatchUp): void {
    if (catchUp.heldBackSinceMs === null) return;
    catchUp.heldBackSinceMs = null;
    catchUp.watch.stream?.resume();
  }

  #assignSoon(): void {
    if (this.#assigning) return;
    this.#assigning = true;
    this.#clock.endOfTurn(() => {
      this.#assigning = false;
      this.#assign();
    });
  }

  /** Finds a place for each who waits, as long as there are any. */
  #assign(): void {
    for (const subscriber of [...this.#waiting]) {
      if (!this.#waiting.has(subscriber)) continue;
      if (subscriber.stream.queue.full) {
        // Who does not read holds no place.
        this.#waiting.delete(subscriber);
        this.#owner.onLagging(subscriber);
        continue;
      }
      const main = this.#shared.prepare(subscriber);
      if (main.opened) main.flush();
      if (main.opened && mayJoin(subscriber, main)) {
        this.#waiting.delete(subscriber);
        this.#shared.join(subscriber);
      } else if (!this.#joinOpenOne(subscriber) && this.#open.size < this.#limits.catchUpsMax) {
        this.#openFor(subscriber, main);
      }
    }
  }

  #joinOpenOne(subscriber: Subscriber): boolean {
    for (const catchUp of this.#open.values()) {
      const { watch } = catchUp;
      if (!watch.range.covers(subscriber.range) || (subscriber.options.prevKv && !watch.prevKv)) continue;
      const behind = subscriber.nextRevision - watch.nextRevision;
      if (behind > this.#limits.catchUpWindowRevisions) continue;
      if (watch.opened) {
        watch.flush();
        if (!mayJoin(subscriber, watch)) continue;
        this.#waiting.delete(subscriber);
        if (!watch.join(subscriber)) this.#owner.onLagging(subscriber);
        else if (!subscriber.stream.queue.full) this.#release(catchUp);
      } else {
        if (behind < 0) continue;
        if (!subscriber.historyKnown) watch.unproven = true;
        this.#ride(subscriber, watch);
      }
      return true;
    }
    return false;
  }

  /** Opens a watch for `subscriber` and for those who wait with it. */
  #openFor(subscriber: Subscriber, main: UpstreamWatch): void {
    const together = this.#neighbours(subscriber, main);
    const sameRange = together.every(({ range }) => range.equals(subscriber.range));
    const range: KeyRange = sameRange ? subscriber.range : main.range;
    const watch = new UpstreamWatch(this.#watchOwner, range, {
      prevKv: together.some(({ options }) => options.prevKv),
      catchUp: true,
      startRevision: together.reduce((first, { nextRevision }) => Math.min(first, nextRevision), Infinity),
    });
    watch.unproven = together.some(({ historyKnown }) => !historyKnown);
    this.#open.set(watch, { watch, heldBackSinceMs: null });
    for (const each of together) this.#ride(each, watch);
    this.#carriers.carry(watch);
  }

  /** Waits for the watch to open: the member will say if its start is compacted. */
  #ride(subscriber: Subscriber, watch: UpstreamWatch): void {
    this.#waiting.delete(subscriber);
    subscriber.historyKnown = true;
    watch.wait(subscriber);
  }

  /** Those who wait on the same main watch, within the window around `subscriber`; it is one of them. */
  #neighbours(subscriber: Subscriber, main: UpstreamWatch): Subscriber[] {
    const window = this.#limits.catchUpWindowRevisions;
    const together: Subscriber[] = [];
    const apart = main.stream === null || this.#apart.has(main);
    for (const other of this.#waiting) {
      if (apart && !other.range.equals(subscriber.range)) continue;
      if (Math.abs(other.nextRevision - subscriber.nextRevision) > window / 2) continue;
      if (!main.range.covers(other.range) || other.stream.queue.full) continue;
      if (other.options.prevKv && !main.prevKv) continue;
      together.push(other);
      if (together.length >= TOGETHER_MAX) break;
    }
    return together.includes(subscriber) ? together : [subscriber];
  }

  #planCheck(): void {
    if (this.#checkPlanned || this.#open.size === 0) return;
    this.#checkPlanned = true;
    this.#clock.after(CHECK_MS, () => {
      this.#checkPlanned = false;
      for (const catchUp of [...this.#open.values()]) this.#check(catchUp);
      this.#planCheck();
    });
  }

  #check({ watch, heldBackSinceMs }: CatchUp): void {
    const nowMs = this.#clock.nowMs();
    if (heldBackSinceMs !== null) {
      const heldMs = nowMs - heldBackSinceMs;
      if (heldMs >= HELD_BACK_MAX_MS || (heldMs >= HELD_BACK_MS && this.#waiting.size > 0))
        this.#putOff(watch);
    } else if (watch.live && watch.stream?.progressUnordered === true) {
      if (nowMs - Math.max(watch.advancedAtMs, watch.openedAtMs) < QUIET_MS) return;
      watch.unproven = false;
      this.#promote(watch);
      this.#shared.settleSoon();
    }
  }

  /** Its clients lose their place; they come back when they read. */
  #putOff(watch: UpstreamWatch): void {
    watch.flush();
    const next = watch.nextRevision;
    for (const rider of watch.subscribers()) {
      rider.detach(rider.state === "live" ? next : rider.nextRevision);
      if (rider.stream.queue.full) this.#owner.onLagging(rider);
      else this.request(rider);
    }
    this.#close(watch);
  }

  /**
   * The member cannot prove that nothing more comes before the present. So the shared watch is replaced by one
   * that starts where this one is: everybody can move to that.
   */
  #promote(watch: UpstreamWatch): void {
    const main = this.#shared.find(watch.range);
    if (main === undefined || !main.opened || main.nextRevision <= watch.nextRevision) return;
    watch.advancedAtMs = this.#clock.nowMs();
    const successor = this.#shared.successorOf(main);
    if (successor !== undefined && successor.resumeRevision <= watch.nextRevision) return;
    const prevKv = successor?.prevKv ?? main.prevKv;
    this.#shared.replace(main, { prevKv, startRevision: watch.resumeRevision });
  }

  #close(watch: UpstreamWatch): void {
    watch.close();
    this.#carriers.drop(watch);
    this.#open.delete(watch);
    this.onChanged();
  }
}

/** Laggards that are looked through for one catch-up watch: opening one stays cheap however many wait. */
const TOGETHER_MAX = 20_000;

/** Whether a client that rides on the watch can take more. Without riders there is nobody to wait for. */
function hasReader(watch: UpstreamWatch): boolean {
  let riders = 0;
  for (const audience of watch.audiences()) {
    for (const { stream } of audience.seats) {
      riders++;
      if (!stream.queue.full) return true;
    }
  }
  return riders === 0;
}
