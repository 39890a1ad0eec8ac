/**
 * Which stream sends its next DATA frame: each stream with queued DATA and an open window in turn, one
 * frame a turn, so that no stream can starve another. Streams are linked through themselves; joining and
 * leaving cost no allocation.
 */
import type { Stream } from "./stream.ts";

export class SendScheduler {
  #first: Stream | null = null;
  #last: Stream | null = null;

  /** Puts a stream at the end of the line unless it is in it. */
  add(stream: Stream): void {
    if (stream.inReadyList) return;
    stream.inReadyList = true;
    if (this.#last === null) this.#first = stream;
    else this.#last.nextReady = stream;
    this.#last = stream;
  }

  /** Takes the stream whose turn it is. */
  take(): Stream | null {
    const stream = this.#first;
    if (stream === null) return null;
    this.#first = stream.nextReady;
    if (this.#first === null) this.#last = null;
    stream.nextReady = null;
    stream.inReadyList = false;
    return stream;
  }

  get empty(): boolean {
    return this.#first === null;
  }
}
