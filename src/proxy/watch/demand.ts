/**
 * What clients want: their watches by range. From it follows which upstream watches there have to be.
 */
import { IntervalMap } from "../../base/interval-map.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Subscriber } from "./subscriber.ts";

interface RangeDemand {
  readonly subscribers: Set<Subscriber>;
  prevKvCount: number;
}

export class Demand {
  readonly #ranges = new IntervalMap<RangeDemand>();

  add(subscriber: Subscriber): void {
    const { start, end } = subscriber.range;
    let demand = this.#ranges.get(start, end);
    if (demand === undefined) {
      demand = { subscribers: new Set(), prevKvCount: 0 };
      this.#ranges.set(start, end, demand);
    }
    demand.subscribers.add(subscriber);
    if (subscriber.options.prevKv) demand.prevKvCount++;
  }

  remove(subscriber: Subscriber): void {
    const { start, end } = subscriber.range;
    const demand = this.#ranges.get(start, end);
    if (demand?.subscribers.delete(subscriber) !== true) return;
    if (subscriber.options.prevKv) demand.prevKvCount--;
    if (demand.subscribers.size === 0) this.#ranges.delete(start, end);
  }

  /** Watches on exactly this range. */
  of({ start, end }: KeyRange): ReadonlySet<Subscriber> {
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

const NOBODY: ReadonlySet<Subscriber> = new Set();
