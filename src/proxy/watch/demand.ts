/**
 * What clients want: their watches by range. From it follows which upstream watches there have to be.
 */
import { IntervalMap } from "../../base/interval-map.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Subscriber } from "./subscriber.ts";

interface RangeDemand {
  readonly range: KeyRange;
  readonly subscribers: Subscriber[];
  prevKvCount: number;
}

export class Demand {
  readonly #ranges = new IntervalMap<RangeDemand>();

  /** Notes what the subscriber wants; its range becomes the one object that all share who watch it. */
  add(subscriber: Subscriber): void {
    const { range } = subscriber;
    let demand = this.#ranges.get(range.start, range.end);
    if (demand === undefined) {
      demand = { range, subscribers: [], prevKvCount: 0 };
      this.#ranges.set(range.start, range.end, demand);
    }
    subscriber.range = demand.range;
    subscriber.demandIndex = demand.subscribers.push(subscriber) - 1;
    if (subscriber.options.prevKv) demand.prevKvCount++;
  }

  /** Nothing happens when it was not added, or removed already. */
  remove(subscriber: Subscriber): void {
    const { range, demandIndex } = subscriber;
    const demand = this.#ranges.get(range.start, range.end);
    if (demand === undefined || demand.subscribers[demandIndex] !== subscriber) return;
    const last = demand.subscribers.pop()!;
    if (last !== subscriber) {
      demand.subscribers[demandIndex] = last;
      last.demandIndex = demandIndex;
    }
    if (subscriber.options.prevKv) demand.prevKvCount--;
    if (demand.subscribers.length === 0) this.#ranges.delete(range.start, range.end);
  }

  /** Watches on exactly this range. */
  of({ start, end }: KeyRange): readonly Subscriber[] {
    return this.#ranges.get(start, end)?.subscribers ?? NOBODY;
  }

  /** Whether a watch within the range wants `prev_kv`. */
  wantsPrevKv({ start, end }: KeyRange): boolean {
    let wanted = false;
    this.#ranges.forEachInside(start, end, ({ prevKvCount }) => {
      if (prevKvCount > 0) wanted = true;
    });
    return wanted;
  }

  /** The tokens of those who watch exactly this range: each may, since it was checked. */
  tokensOf(range: KeyRange): Set<string> {
    const tokens = new Set<string>();
    for (const { stream } of this.of(range)) tokens.add(stream.token);
    return tokens;
  }
}

const NOBODY: readonly Subscriber[] = [];
