/**
 * The audiences of one upstream watch: found by the range and view of who comes, and by the keys of what happens.
 */
import { IntervalMap } from "../../base/interval-map.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { keyOf } from "../../etcd/watch-response.ts";
import { Audience, viewOf } from "./audience.ts";
import type { EventBatch } from "./event-batch.ts";
import type { Subscriber } from "./subscriber.ts";

export class Audiences {
  readonly #range: KeyRange;
  readonly #byRange = new IntervalMap<Audience[]>();
  /** Those that see the whole range. */
  #whole: readonly Audience[] = [];
  #size = 0;

  /** `range`: that of the upstream watch. */
  constructor(range: KeyRange) {
    this.#range = range;
  }

  get size(): number {
    return this.#size;
  }

  *[Symbol.iterator](): Generator<Audience> {
    for (const { value } of this.#byRange) yield* value;
  }

  /** The one that sees what the subscriber asks for; made when there is none yet. */
  of({ range, options }: Subscriber): Audience {
    let audiences = this.#byRange.get(range.start, range.end);
    if (audiences === undefined) this.#byRange.set(range.start, range.end, (audiences = []));
    const view = viewOf(options);
    const known = audiences.find((audience) => viewOf(audience.options) === view);
    if (known !== undefined) return known;
    const audience = new Audience(range, options);
    audiences.push(audience);
    this.#size++;
    if (range.equals(this.#range)) this.#whole = audiences.slice();
    return audience;
  }

  dropIfEmpty(audience: Audience): void {
    if (audience.size > 0) return;
    const { start, end } = audience.range;
    const audiences = this.#byRange.get(start, end);
    const at = audiences?.indexOf(audience) ?? -1;
    if (audiences === undefined || at < 0) return;
    audiences.splice(at, 1);
    this.#size--;
    if (audiences.length === 0) this.#byRange.delete(start, end);
    if (audience.range.equals(this.#range)) this.#whole = audiences.slice();
  }

  /** Those that see something of the batches, each with what it sees in `picked`. */
  pick(batches: readonly EventBatch[]): Audience[] {
    const touched: Audience[] = [];
    for (const audience of this.#whole) {
      pickAll(audience, batches);
      if (audience.picked.length > 0) touched.push(audience);
    }
    if (this.#size > this.#whole.length) this.#pickByKey(batches, touched);
    return touched;
  }

  #pickByKey(batches: readonly EventBatch[], touched: Audience[]): void {
    for (const { bytes, events } of batches) {
      for (const event of events) {
        const picked = { bytes, event };
        this.#byRange.forEachContaining(keyOf(bytes, event), (audiences) => {
          for (const audience of audiences) {
            if (this.#whole.includes(audience) || !audience.wants(event.isDelete)) continue;
            if (audience.picked.push(picked) === 1) touched.push(audience);
          }
        });
      }
    }
  }
}

function pickAll(audience: Audience, batches: readonly EventBatch[]): void {
  for (const { bytes, events } of batches) {
    for (const event of events) {
      if (audience.wants(event.isDelete)) audience.picked.push({ bytes, event });
    }
  }
}
