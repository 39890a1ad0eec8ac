/**
 * Heartbeats that only wait for their turn on a stream, first come first.
 *
 * A plain list, since nearly all that come are taken in their order: one that is given up stays in it as an empty place.
 */
import type { UpstreamHeartbeat } from "./upstream-heartbeat.ts";

export class ReadyHeartbeats implements Iterable<UpstreamHeartbeat> {
  #list: UpstreamHeartbeat[] = [];
  /** Where the first one is. */
  #head = 0;
  size = 0;

  add(heartbeat: UpstreamHeartbeat): void {
    heartbeat.ready = true;
    this.#list.push(heartbeat);
    this.size++;
  }

  /** Takes the first one out; null when there is none. */
  take(): UpstreamHeartbeat | null {
    while (this.#head < this.#list.length) {
      const heartbeat = this.#list[this.#head++]!;
      if (!heartbeat.ready) continue;
      this.remove(heartbeat);
      return heartbeat;
    }
    return null;
  }

  /** Nobody wants it sent any more; nothing happens when it is not in. */
  remove(heartbeat: UpstreamHeartbeat): void {
    if (!heartbeat.ready) return;
    heartbeat.ready = false;
    this.size--;
    if (this.size > 0) return;
    this.#list = [];
    this.#head = 0;
  }

  *[Symbol.iterator](): Generator<UpstreamHeartbeat> {
    for (const heartbeat of this.#list.slice(this.#head)) if (heartbeat.ready) yield heartbeat;
  }
}
