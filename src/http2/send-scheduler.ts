/**
 * Which stream sends its next DATA frame: each stream with queued DATA and an open window in turn, one
 * frame a turn, so that no stream can starve another. Streams are linked through themselves; joining and
 * leaving cost no allocation, and a stream that ends leaves at once: a peer that resets its streams while
 * the connection's window is closed must not make the line grow.
 */
import type { Stream } from "./stream.ts";

export class SendScheduler {
  #first: Stream | null = null;
  #last: Stream | null = null;

  /** Puts a stream at the end of the line unless it is in it. */
  add(stream: Stream): void {
    if (stream.inReadyList) return;
    stream.inReadyList = true;
    stream.previousReady = this.#last;
    if (this.#last === null) this.#first = stream;
    else this.#last.nextReady = stream;
    this.#last = stream;
  }

  /** Takes the stream whose turn it is. */
  take(): Stream | null {
    const stream = this.#first;
    if (stream !== null) this.remove(stream);
    return stream;
  }

  /** Takes a stream out of the line wherever it stands. */
  remove(stream: Stream): void {
    if (!stream.inReadyList) return;
    const { previousReady, nextReady } = stream;
    if (previousReady === null) this.#first = nextReady;
    else previousReady.nextReady = nextReady;
    if (nextReady === null) this.#last = previousReady;
    else nextReady.previousReady = previousReady;
    stream.previousReady = null;
    stream.nextReady = null;
    stream.inReadyList = false;
  }

  get empty(): boolean {
    return this.#first === null;
  }
}
