/**
 * Bytes handed from events to a reader that iterates. Whoever pushes bounds himself: `taken` is told how many
 * bytes the reader has moved past.
 */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #taken: (bytes: number) => void;
  readonly #pieces: Uint8Array[] = [];
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

  /** No more bytes come; the reader ends, with `error` by throwing it. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error ?? null;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
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
