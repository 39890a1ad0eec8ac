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
import { HandOvers, type HandOversOwner } from "./hand-overs.ts";
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

export class SharedWatches implements HandOversOwner {
  readonly #mains = new IntervalMap<UpstreamWatch>();
  /** What is to take a main watch's place once it is open. */
  readonly #successors = new Map<UpstreamWatch, UpstreamWatch>();
  readonly #handOvers: HandOvers;
  readonly #demand: Demand;
  readonly #watchOwner: UpstreamWatchOwner;
  readonly #owner: SharedWatchesOwner;
  #carriers!: Carriers;

  constructor(clock: Clock, demand: Demand, watchOwner: UpstreamWatchOwner, owner: SharedWatchesOwner) {
    this.#handOvers = new HandOvers(clock, this);
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
    for (const watch of this.#handOvers) if (!watch.catchUp) size++;
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
    if (watch.opened) this.joinOpened(subscriber, watch);
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
    this.#handOvers.begin(watch);
  }

  /** A watch can be left, or joined, that could not before. */
  settleSoon(): void {
    this.#handOvers.settleSoon();
  }

  isMain(watch: UpstreamWatch): boolean {
    return this.#mains.get(watch.range.start, watch.range.end) === watch;
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
        this.joinOpened(subscriber, watch);
      }
      this.#owner.onMainChanged();
    }
    this.#handOvers.settle();
  }

  /** What carried the watch is gone, or did not want it. */
  onUncarried(watch: UpstreamWatch): void {
    const successor = this.#successors.get(watch);
    if (successor !== undefined && this.isMain(watch)) {
      // Its place is being taken anyway.
      this.#successors.delete(watch);
      this.#mains.set(watch.range.start, watch.range.end, successor);
      this.retire(watch);
    } else if (this.#handOvers.isFrozen(watch)) {
      this.#rehome(watch);
    } else if (this.#handOvers.has(watch)) {
      this.#handOvers.settle();
    } else {
      this.#carriers.carry(watch);
    }
  }

  onCarrierRetiring(watch: UpstreamWatch): void {
    if (this.#handOvers.has(watch) || watch.closed) return;
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
        this.#handOvers.freeze(main);
      }
      for (const subscriber of left) subscriber.detach(subscriber.nextRevision);
      this.close(watch);
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
      this.close(watch);
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

  /** What the watch has been told is not so: nobody may join it. Its clients have been told already. */
  onUnreal(watch: UpstreamWatch): void {
    if (watch.closed) return;
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
      if (successor?.prevKv === true && !main.prevKv && !prevKv) {
        this.#dropSuccessor(main);
        if (main.stream?.retiring === true) this.onCarrierRetiring(main);
      }
      if (main.prevKv && !prevKv && main.opened && successor === undefined) {
        this.replace(main, { prevKv: false, startRevision: main.resumeRevision });
      }
    }
    this.#handOvers.settle();
  }

  /** Nobody wants the whole of its range any more. */
  #giveUp(main: UpstreamWatch): void {
    this.#mains.delete(main.range.start, main.range.end);
    this.#dropSuccessor(main);
    if (main.empty) this.close(main);
    else this.#dissolve(main);
    this.#owner.onMainChanged();
  }

  /** Gives a subscriber what follows, from a watch that is open, or else has it catch up. */
  joinOpened(subscriber: Subscriber, watch: UpstreamWatch): void {
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
    this.#handOvers.forget(watch);
    this.close(watch);
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
    this.close(successor);
    for (const subscriber of waiting) if (!subscriber.ended) this.join(subscriber);
    this.#owner.onMainChanged();
  }

  /** The watch is wanted no more. */
  close(watch: UpstreamWatch): void {
    watch.close();
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
