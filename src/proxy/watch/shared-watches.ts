/**
 * The upstream watches that clients share, and who rides on which.
 *
 * One main watch serves a range and all ranges inside it. A watch that is no longer the main one for its range is
 * retiring: whoever sits there moves to the main watch as soon as that holds what comes next for them. That
 * one rule serves every change: a wider watch takes in narrower ones, one with `prev_kv` replaces one without, a
 * narrower one follows when the wider is given up, another member or token takes over, laggards catch up.
 */
import type { Clock } from "../../base/clock.ts";
import { IntervalMap } from "../../base/interval-map.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Carriers } from "./carriers.ts";
import type { Demand } from "./demand.ts";
import type { Subscriber } from "./subscriber.ts";
import { UpstreamWatch, type UpstreamWatchOwner } from "./upstream-watch.ts";

export interface SharedWatchesOwner {
  /** The subscriber is behind what its main watch holds. */
  onBehind(subscriber: Subscriber): void;
  /** The subscriber's client does not read; it goes on where its `nextRevision` says. */
  onLagging(subscriber: Subscriber): void;
  /** A watch cannot be had, for a reason of the member's. */
  onImpossible(subscriber: Subscriber, why: { reason: string; compactRevision: number }): void;
  /** A main watch has come to be, or moved on. */
  onMainChanged(): void;
  onWatchClosed(watch: UpstreamWatch): void;
}

/** How long those who move wait for the new watch to have seen what the old one has, once it is open. */
const HAND_OVER_MS = 250;
/** How often a hand-over that waits is looked at, and the member asked: at first, and when it takes long. */
const HAND_OVER_CHECK_MS = 50;
const HAND_OVER_CHECK_MAX_MS = 1000;

export class SharedWatches {
  readonly #mains = new IntervalMap<UpstreamWatch>();
  /** What is to take a main watch's place once it is open. */
  readonly #successors = new Map<UpstreamWatch, UpstreamWatch>();
  readonly #retiring = new Set<UpstreamWatch>();
  /** Retiring ones that no token could open anew: those who sit there stay until it ends. */
  readonly #frozen = new Set<UpstreamWatch>();
  readonly #clock: Clock;
  readonly #demand: Demand;
  readonly #watchOwner: UpstreamWatchOwner;
  readonly #owner: SharedWatchesOwner;
  #carriers!: Carriers;
  #settling = false;
  #checkPlanned = false;
  #checkMs = HAND_OVER_CHECK_MS;

  constructor(clock: Clock, demand: Demand, watchOwner: UpstreamWatchOwner, owner: SharedWatchesOwner) {
    this.#clock = clock;
    this.#demand = demand;
    this.#watchOwner = watchOwner;
    this.#owner = owner;
  }

  /** What puts watches on calls; set once, before anything else. */
  useCarriers(carriers: Carriers): void {
    this.#carriers = carriers;
  }

  /** Watches that are open or opening, successors and retiring ones among them; those of laggards are not. */
  get size(): number {
    let size = this.#mains.size + this.#successors.size;
    for (const watch of this.#retiring) if (!watch.catchUp) size++;
    return size;
  }

  *mains(): Generator<UpstreamWatch> {
    for (const { value } of this.#mains) yield value;
  }

  /** The watch that serves what `subscriber` wants, opened if there is none. */
  prepare({ range, options }: Subscriber): UpstreamWatch {
    let main = this.find(range);
    while (main !== undefined && this.#demand.of(main.range).length === 0) {
      this.#giveUp(main);
      main = this.find(range);
    }
    main ??= this.#openMain(range);
    return options.prevKv ? this.#withPrevKv(main) : main;
  }

  /** The main watch for a range, if there is one. */
  find({ start, end }: KeyRange): UpstreamWatch | undefined {
    return this.#mains.findCovering(start, end);
  }

  /** Gives a subscriber what follows from its `nextRevision` on. */
  join(subscriber: Subscriber): void {
    const watch = this.prepare(subscriber);
    if (watch.opened) this.#joinOpened(subscriber, watch);
    else watch.wait(subscriber);
  }

  /** Another watch is to take the place of a main one, starting at `startRevision`. */
  replace(main: UpstreamWatch, options: { prevKv: boolean; startRevision: number }): UpstreamWatch {
    const before = this.#successors.get(main);
    const successor = new UpstreamWatch(this.#watchOwner, main.range, { ...options, catchUp: false });
    this.#successors.set(main, successor);
    this.#carriers.carry(successor);
    if (before !== undefined) this.#abandon(before);
    return successor;
  }

  /** What is to take the place of a main watch, if anything is. */
  successorOf(main: UpstreamWatch): UpstreamWatch | undefined {
    return this.#successors.get(main);
  }

  /** Those at `watch` are to move to main watches. */
  retire(watch: UpstreamWatch): void {
    this.#retiring.add(watch);
    this.#checkMs = HAND_OVER_CHECK_MS;
    this.settle();
  }

  isMain(watch: UpstreamWatch): boolean {
    return this.#mains.get(watch.range.start, watch.range.end) === watch;
  }

  isRetiring(watch: UpstreamWatch): boolean {
    return this.#retiring.has(watch);
  }

  // What happens to watches.

  /** A watch has been opened for the first time. */
  onOpened(watch: UpstreamWatch): void {
    const main = this.#mainOf(watch);
    if (main !== undefined) {
      this.#successors.delete(main);
      this.#mains.set(watch.range.start, watch.range.end, watch);
      this.retire(main);
    }
    if (this.isMain(watch)) {
      this.#takeInNarrower(watch);
      for (const subscriber of [...watch.future]) {
        subscriber.detach(subscriber.nextRevision);
        this.#joinOpened(subscriber, watch);
      }
      this.#owner.onMainChanged();
    }
    this.settle();
  }

  /** The watch has moved on; others may be able to move to it, or it to them. */
  onAdvanced(_watch: UpstreamWatch): void {
    if (this.#retiring.size > 0) this.settleSoon();
  }

  /** What carried the watch is gone, or did not want it. */
  onUncarried(watch: UpstreamWatch): void {
    const successor = this.#successors.get(watch);
    if (successor !== undefined && this.isMain(watch)) {
      // Its place is being taken anyway.
      this.#successors.delete(watch);
      this.#mains.set(watch.range.start, watch.range.end, successor);
      this.retire(watch);
    } else if (this.#frozen.delete(watch)) {
      this.#rehome(watch);
    } else if (this.#retiring.has(watch)) {
      this.settle();
    } else {
      this.#carriers.carry(watch);
    }
  }

  onCarrierRetiring(watch: UpstreamWatch): void {
    if (this.#retiring.has(watch) || watch.closed) return;
    if (this.#demand.of(watch.range).length === 0 && this.isMain(watch)) {
      this.#giveUp(watch);
    } else if (!watch.opened) {
      this.#carriers.drop(watch);
      this.#carriers.carry(watch);
    } else if (this.isMain(watch) && !this.#successors.has(watch)) {
      this.replace(watch, { prevKv: watch.prevKv, startRevision: watch.resumeRevision });
    }
  }

  /** No token does for the watch. */
  onRefused(watch: UpstreamWatch, reason: string): void {
    const main = this.#mainOf(watch);
    const left = watch.subscribers();
    if (main !== undefined) {
      // The main one lives on, for those who sit there and nobody else.
      this.#successors.delete(main);
      if (this.#demand.of(main.range).length === 0) {
        this.#giveUp(main);
      } else {
        this.#mains.delete(main.range.start, main.range.end);
        this.#frozen.add(main);
        this.#retiring.add(main);
      }
      for (const subscriber of left) subscriber.detach(subscriber.nextRevision);
      this.#close(watch);
      for (const subscriber of left) {
        if (subscriber.range.equals(watch.range)) {
          this.#owner.onImpossible(subscriber, {
            reason: ownReason(subscriber, watch, reason),
            compactRevision: 0,
          });
        } else if (!subscriber.ended) {
          this.join(subscriber);
        }
      }
      this.#owner.onMainChanged();
      return;
    }
    if (!this.isMain(watch)) return;
    this.#mains.delete(watch.range.start, watch.range.end);
    for (const subscriber of [...this.#demand.of(watch.range)]) {
      this.#owner.onImpossible(subscriber, {
        reason: ownReason(subscriber, watch, reason),
        compactRevision: 0,
      });
    }
    this.#rehome(watch);
  }

  /** History before `compactRevision` is gone. */
  onCompacted(watch: UpstreamWatch, compactRevision: number): void {
    if (watch.opened && compactRevision <= watch.nextRevision) {
      // Only what it has had already.
      watch.resumeBehind = true;
      this.onUncarried(watch);
      return;
    }
    const main = this.#mainOf(watch);
    if (main !== undefined) {
      this.#successors.delete(main);
      const waiting = watch.subscribers();
      this.#close(watch);
      // From where the main one is by now; from the present if even that is gone.
      const startRevision = main.resumeRevision >= compactRevision ? main.resumeRevision : 0;
      const successor = this.replace(main, { prevKv: watch.prevKv, startRevision });
      for (const subscriber of waiting) if (!subscriber.ended) successor.wait(subscriber);
      return;
    }
    watch.flush();
    const next = watch.nextRevision;
    for (const subscriber of watch.subscribers()) {
      const needed = subscriber.state === "live" ? next : subscriber.nextRevision;
      if (needed < compactRevision) this.#owner.onImpossible(subscriber, { reason: "", compactRevision });
    }
    if (this.isMain(watch)) this.#mains.delete(watch.range.start, watch.range.end);
    this.#rehome(watch);
  }

  /** Gives up what nobody wants: watches without clients, and `prev_kv` that nobody reads. */
  tidy(): void {
    for (const { value: main } of [...this.#mains]) {
      if (this.#demand.of(main.range).length === 0) {
        if (this.isMain(main)) this.#giveUp(main);
        continue;
      }
      const successor = this.#successors.get(main);
      const prevKv = this.#demand.wantsPrevKv(main.range);
      if (successor !== undefined && successor.prevKv && !main.prevKv && !prevKv) this.#dropSuccessor(main);
      if (main.prevKv && !prevKv && main.opened && successor === undefined) {
        this.replace(main, { prevKv: false, startRevision: main.resumeRevision });
      }
    }
    this.settle();
  }

  /** Nobody wants the whole of its range any more. */
  #giveUp(main: UpstreamWatch): void {
    this.#mains.delete(main.range.start, main.range.end);
    this.#dropSuccessor(main);
    if (main.empty) this.#close(main);
    else this.#dissolve(main);
    this.#owner.onMainChanged();
  }

  closeAll(): void {
    for (const main of [...this.mains()]) this.#close(main);
    for (const watch of [...this.#successors.values(), ...this.#retiring]) this.#close(watch);
  }

  // Moving.

  settleSoon(): void {
    if (this.#settling) return;
    this.#settling = true;
    this.#clock.endOfTurn(() => {
      this.#settling = false;
      this.settle();
    });
  }

  /** Moves whoever can move, and closes what is empty. */
  settle(): void {
    for (const watch of [...this.#retiring]) this.#settleOne(watch);
    if (this.#retiring.size > this.#frozen.size) this.#planCheck();
  }

  #settleOne(from: UpstreamWatch): void {
    if (from.closed) {
      this.#retiring.delete(from);
      this.#frozen.delete(from);
      return;
    }
    for (const audience of [...from.audiences()]) {
      const [first] = audience.subscribers();
      if (first === undefined) continue;
      const to = this.#targetOf(first, from);
      if (to === undefined || !this.#mayMove(from, to)) continue;
      from.flush();
      const { nextRevision } = from;
      for (const subscriber of [...audience.subscribers()]) {
        subscriber.detach(nextRevision);
        this.#joinOpened(subscriber, to);
      }
    }
    for (const subscriber of [...from.future]) {
      const to = this.#targetOf(subscriber, from);
      if (to === undefined || !to.opened) continue;
      const { nextRevision } = subscriber;
      const worthWaiting =
        from.opened &&
        from.stream !== null &&
        nextRevision < to.floorRevision &&
        nextRevision >= from.floorRevision;
      if (worthWaiting) continue;
      subscriber.detach(subscriber.nextRevision);
      this.#joinOpened(subscriber, to);
    }
    if (from.empty) {
      this.#retiring.delete(from);
      this.#frozen.delete(from);
      this.#close(from);
    }
  }

  /** Where someone who sits at a retiring watch is to go. */
  #targetOf(subscriber: Subscriber, from: UpstreamWatch): UpstreamWatch | undefined {
    if (!this.#frozen.has(from)) return this.prepare(subscriber);
    const main = this.find(subscriber.range);
    return subscriber.options.prevKv && main?.prevKv === false ? undefined : main;
  }

  /** Whether everything that those at `from` need next will come from `to`. */
  #mayMove(from: UpstreamWatch, to: UpstreamWatch): boolean {
    if (!to.opened || (from.unproven && from.stream !== null)) return false;
    // Whatever it has missed it will not get any more: those who need it have to catch up.
    if (from.stream === null) return true;
    if (to.floorRevision > from.nextRevision) return false;
    return to.nextRevision >= from.nextRevision || this.#clock.nowMs() - to.openedAtMs >= HAND_OVER_MS;
  }

  #planCheck(): void {
    if (this.#checkPlanned) return;
    this.#checkPlanned = true;
    this.#clock.after(this.#checkMs, () => {
      this.#checkPlanned = false;
      this.#checkMs = Math.min(HAND_OVER_CHECK_MAX_MS, this.#checkMs * 1.5);
      for (const from of this.#retiring) if (!this.#frozen.has(from)) this.#askProgress(from);
      this.settle();
    });
  }

  /** An answer would prove how far both watches are. */
  #askProgress(from: UpstreamWatch): void {
    from.stream?.requestProgress();
    const to = this.find(from.range);
    if (to?.stream !== from.stream) to?.stream?.requestProgress();
  }

  #joinOpened(subscriber: Subscriber, watch: UpstreamWatch): void {
    if (subscriber.ended) return;
    watch.flush();
    if (!mayJoin(subscriber, watch)) this.#owner.onBehind(subscriber);
    else if (!watch.join(subscriber)) this.#owner.onLagging(subscriber);
  }

  #openMain(range: KeyRange): UpstreamWatch {
    const prevKv = this.#demand.wantsPrevKv(range);
    const main = new UpstreamWatch(this.#watchOwner, range, { prevKv, catchUp: false, startRevision: 0 });
    this.#mains.set(range.start, range.end, main);
    this.#carriers.carry(main);
    return main;
  }

  #withPrevKv(main: UpstreamWatch): UpstreamWatch {
    const successor = this.#successors.get(main);
    if (main.prevKv) {
      if (successor?.prevKv !== false) return main;
      if (main.stream?.retiring === true) {
        return this.replace(main, { prevKv: true, startRevision: main.resumeRevision });
      }
      this.#dropSuccessor(main);
      return main;
    }
    if (successor?.prevKv === true) return successor;
    return this.replace(main, { prevKv: true, startRevision: main.resumeRevision });
  }

  /** Main watches inside the range of a wider one are no longer needed. */
  #takeInNarrower(main: UpstreamWatch): void {
    const { start, end } = main.range;
    const narrower: UpstreamWatch[] = [];
    this.#mains.forEachInside(start, end, (other) => {
      if (other !== main) narrower.push(other);
    });
    for (const other of narrower) {
      this.#mains.delete(other.range.start, other.range.end);
      this.#dropSuccessor(other);
      if (other.opened) this.retire(other);
      else this.#rehome(other);
    }
  }

  /** Nobody wants the whole of it any more: the ranges within get watches of their own, the widest first. */
  #dissolve(main: UpstreamWatch): void {
    const ranges = [...main.audiences()].map(({ range }) => range);
    for (const { range } of main.future) ranges.push(range);
    for (const range of widestOf(ranges)) {
      if (this.find(range) !== undefined) continue;
      const prevKv = this.#demand.wantsPrevKv(range);
      const startRevision = main.resumeRevision;
      const watch = new UpstreamWatch(this.#watchOwner, range, { prevKv, catchUp: false, startRevision });
      this.#mains.set(range.start, range.end, watch);
      this.#carriers.carry(watch);
    }
    this.retire(main);
  }

  /** The watch ends; those it leaves behind look for another. */
  #rehome(watch: UpstreamWatch): void {
    watch.flush();
    const next = watch.opened ? watch.nextRevision : null;
    const left = watch.subscribers();
    for (const subscriber of left) {
      const live = subscriber.state === "live" && next !== null;
      subscriber.detach(live ? next : subscriber.nextRevision);
    }
    this.#dropSuccessor(watch);
    this.#retiring.delete(watch);
    this.#frozen.delete(watch);
    this.#close(watch);
    for (const subscriber of left) if (!subscriber.ended) this.join(subscriber);
    this.#owner.onMainChanged();
  }

  #dropSuccessor(main: UpstreamWatch): void {
    const successor = this.#successors.get(main);
    if (successor === undefined) return;
    this.#successors.delete(main);
    this.#abandon(successor);
  }

  /** A successor is not to be; those who wait for it look for another watch. */
  #abandon(successor: UpstreamWatch): void {
    const waiting = successor.subscribers();
    for (const subscriber of waiting) subscriber.detach(subscriber.nextRevision);
    this.#close(successor);
    for (const subscriber of waiting) if (!subscriber.ended) this.join(subscriber);
    this.#owner.onMainChanged();
  }

  #close(watch: UpstreamWatch): void {
    watch.closed = true;
    this.#carriers.drop(watch);
    this.#owner.onWatchClosed(watch);
  }

  #mainOf(successor: UpstreamWatch): UpstreamWatch | undefined {
    for (const [main, each] of this.#successors) if (each === successor) return main;
    return undefined;
  }
}

/** What the member said to the subscriber's own token, if it was asked. */
export function ownReason({ stream }: Subscriber, watch: UpstreamWatch, reason: string): string {
  return watch.refusals.get(stream.token) ?? reason;
}

/** Whether an open watch has all that the subscriber needs next. Right behind `flush`. */
export function mayJoin({ nextRevision, historyKnown }: Subscriber, watch: UpstreamWatch): boolean {
  return nextRevision >= watch.floorRevision && (historyKnown || nextRevision >= watch.nextRevision);
}

/** Those that lie in no other one. */
function widestOf(ranges: readonly KeyRange[]): KeyRange[] {
  const all = new IntervalMap<KeyRange>();
  for (const range of ranges) all.set(range.start, range.end, range);
  return [...all]
    .map(({ value }) => value)
    .filter((range) => all.findCovering(range.start, range.end) === range);
}
