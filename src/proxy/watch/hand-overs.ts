/**
 * Moves those who ride on a watch that is no longer the main one for its range.
 *
 * Stands beside the shared watches: told that a watch retires, it moves each audience to the main watch for its
 * range, as soon as everything that comes next for them will come from there. Until then the retiring watch serves
 * them. The member is asked how far it is, since on a quiet range nothing else would tell.
 */
import type { Clock } from "../../base/clock.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Subscriber } from "./subscriber.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";

export interface HandOversOwner {
  /** The main watch for what the subscriber wants, opened if there is none. */
  prepare(subscriber: Subscriber): UpstreamWatch;
  /** The main watch for a range, if there is one. */
  find(range: KeyRange): UpstreamWatch | undefined;
  /** Gives the subscriber what follows, from an open watch or by whatever it takes. */
  joinOpened(subscriber: Subscriber, watch: UpstreamWatch): void;
  close(watch: UpstreamWatch): void;
}

/** How long those who move wait for the new watch to have seen what the old one has, once it is open. */
const HAND_OVER_MS = 250;
/** How often a hand-over that waits is looked at, and the member asked: at first, and when it takes long. */
const CHECK_MS = 50;
const CHECK_MAX_MS = 1000;

export class HandOvers {
  readonly #clock: Clock;
  readonly #owner: HandOversOwner;
  readonly #retiring = new Set<UpstreamWatch>();
  /** Retiring ones that no token could open anew: those who sit there stay until it ends. */
  readonly #frozen = new Set<UpstreamWatch>();
  #settling = false;
  #checkPlanned = false;
  #checkMs = CHECK_MS;

  constructor(clock: Clock, owner: HandOversOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  [Symbol.iterator](): Iterator<UpstreamWatch> {
    return this.#retiring[Symbol.iterator]();
  }

  has(watch: UpstreamWatch): boolean {
    return this.#retiring.has(watch);
  }

  isFrozen(watch: UpstreamWatch): boolean {
    return this.#frozen.has(watch);
  }

  /** Those at `watch` are to move. */
  begin(watch: UpstreamWatch): void {
    this.#retiring.add(watch);
    this.#checkMs = CHECK_MS;
    this.settle();
  }

  /** Those at `watch` are to stay while it lives, and to move if another main watch comes to be. */
  freeze(watch: UpstreamWatch): void {
    this.#frozen.add(watch);
    this.#retiring.add(watch);
  }

  forget(watch: UpstreamWatch): void {
    this.#retiring.delete(watch);
    this.#frozen.delete(watch);
  }

  /** A watch has moved on: somebody may be able to move. */
  settleSoon(): void {
    if (this.#settling || this.#retiring.size === 0) return;
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
      this.forget(from);
      return;
    }
    this.#moveAudiences(from);
    this.#moveFuture(from);
    if (!from.empty) return;
    this.forget(from);
    this.#owner.close(from);
  }

  #moveAudiences(from: UpstreamWatch): void {
    for (const audience of [...from.audiences()]) {
      const [first] = audience.subscribers();
      if (first === undefined) continue;
      const to = this.#targetOf(first, from);
      if (to === undefined || !this.#mayMove(from, to)) continue;
      from.flush();
      const { nextRevision } = from;
      for (const subscriber of [...audience.subscribers()]) {
        subscriber.detach(nextRevision);
        this.#owner.joinOpened(subscriber, to);
      }
    }
  }

  /** Those who wait for their first revision need not wait for the two watches to be level. */
  #moveFuture(from: UpstreamWatch): void {
    for (const subscriber of [...from.future]) {
      const to = this.#targetOf(subscriber, from);
      if (to === undefined || !to.opened) continue;
      const { nextRevision } = subscriber;
      const held = nextRevision >= from.floorRevision && nextRevision < to.floorRevision;
      if (held && from.opened && from.stream !== null) continue;
      subscriber.detach(nextRevision);
      this.#owner.joinOpened(subscriber, to);
    }
  }

  /** Where someone who sits at a retiring watch is to go. */
  #targetOf(subscriber: Subscriber, from: UpstreamWatch): UpstreamWatch | undefined {
    if (!this.#frozen.has(from)) return this.#owner.prepare(subscriber);
    const main = this.#owner.find(subscriber.range);
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
      this.#checkMs = Math.min(CHECK_MAX_MS, this.#checkMs * 1.5);
      for (const from of this.#retiring) if (!this.#frozen.has(from)) this.#askProgress(from);
      this.settle();
    });
  }

  /** An answer would prove how far both watches are. */
  #askProgress(from: UpstreamWatch): void {
    from.stream?.requestProgress();
    const to = this.#owner.find(from.range);
    if (to?.stream !== from.stream) to?.stream?.requestProgress();
  }
}
