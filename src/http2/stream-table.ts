/**
 * The streams of a connection by their id.
 *
 * Ids only grow, and most streams live briefly, so the open ones lie close together: a ring indexed by the id
 * finds nearly all of them with one load and forgets them with one store. A stream whose place is taken, since
 * an older one lives long, goes into an ordinary map beside it. The plain twin is that map alone: five times
 * slower by itself (`tests/bench/stream-table.bench.ts`), and what it holds on to when streams leave made a
 * forwarded call cost a quarter more CPU.
 */
import type { Stream } from "./stream.ts";

/** Places in the ring; a power of two. Made with the first stream: idle connections have none. */
const RING_SLOTS = 256;

export class StreamTable {
  #ring: (Stream | null)[] | null = null;
  readonly #crowded = new Map<number, Stream>();
  /** Streams in the table. */
  size = 0;

  get(id: number): Stream | undefined {
    const ring = this.#ring;
    if (ring === null) return undefined;
    const stream = ring[slotOf(id)]!;
    if (stream !== null && stream.id === id) return stream;
    return this.#crowded.size === 0 ? undefined : this.#crowded.get(id);
  }

  /** Adds a stream whose id is not in the table. */
  add(stream: Stream): void {
    this.#ring ??= Array.from({ length: RING_SLOTS }, () => null);
    const slot = slotOf(stream.id);
    if (this.#ring[slot] === null) this.#ring[slot] = stream;
    else this.#crowded.set(stream.id, stream);
    this.size++;
  }

  /** Takes a stream out; nothing happens when it is not in the table. */
  remove(stream: Stream): void {
    const ring = this.#ring;
    if (ring === null) return;
    const slot = slotOf(stream.id);
    if (ring[slot] === stream) ring[slot] = null;
    else if (!this.#crowded.delete(stream.id)) return;
    this.size--;
  }

  /** The streams there are now; the table may change meanwhile. */
  all(): Stream[] {
    const streams = (this.#ring ?? []).filter((stream) => stream !== null);
    streams.push(...this.#crowded.values());
    return streams;
  }
}

/** Ids of one side are all odd or all even: the lowest bit tells nothing. */
function slotOf(id: number): number {
  return (id >>> 1) & (RING_SLOTS - 1);
}
