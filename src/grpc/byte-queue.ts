/**
 * Bytes handed from events to a reader that iterates. Whoever pushes bounds himself: `taken` is told how many
 * bytes the reader has moved past.
 */
import { ByteWriter } from "../base/byte-writer.ts";

export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #taken: (bytes: number) => void;
  readonly #pieces: (Uint8Array | ByteWriter)[] = [];
  #ended = false;
  #error: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(taken: (bytes: number) => void) {
    this.#taken = taken;
  }

  push(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#wake?.();
  }

  /**
   * Hands over a copy of `bytes[start, end)`, in one piece with what the reader has not looked at yet: a peer that sends
   * single bytes must not make us hold an object for each, nor the chunk that it came in.
   */
  append(bytes: Uint8Array, start: number, end: number): void {
    let last = this.#pieces.at(-1);
    if (!(last instanceof ByteWriter)) {
      last = new ByteWriter();
      this.#pieces.push(last);
    }
    last.write(bytes, start, end);
    this.#wake?.();
  }

  /** No more bytes come; the reader ends, with `error` by throwing it. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error ?? null;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = this.#pieces.shift();
      if (next !== undefined) {
        const piece = next instanceof ByteWriter ? next.bytes.subarray(0, next.length) : next;
        yield piece;
        this.#taken(piece.length);
      } else if (this.#ended) {
        if (this.#error !== null) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
      }
    }
  }
}
