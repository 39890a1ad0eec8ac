/**
 * The ids of the streams that we reset lately: what the peer had already sent on them is ignored rather than
 * answered (RFC 9113 §5.1, "closed"). Holds a fixed number of ids, oldest out first.
 */
import { RESET_STREAMS_REMEMBERED_MAX } from "./limits.ts";

export class ResetMemory {
  readonly #ids = new Set<number>();

  add(streamId: number): void {
    if (this.#ids.size >= RESET_STREAMS_REMEMBERED_MAX) {
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    this.#ids.add(streamId);
  }

  has(streamId: number): boolean {
    return this.#ids.has(streamId);
  }
}
