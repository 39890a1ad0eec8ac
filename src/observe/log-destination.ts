/**
 * Where log lines end up: whoever reads stderr, or whatever a test wants to look at.
 * Stands between the logger and the way to stderr.
 *
 * Invariant: writing never throws and never waits. What cannot be written now is kept up to a bound, and tried again; what
 * does not fit is left out, and told of by its number as soon as there is room. Lines come out whole.
 */

/** Takes whole lines, each ending in a newline. */
export interface LogDestination {
  write(line: string): void;
}

/** A way out for bytes. */
export interface LineSink {
  /** Writes what can be written at once, from the first byte on. Never waits. */
  write(bytes: Uint8Array): SinkAnswer;
}

/** How many bytes were taken; `full`: none now, perhaps later; `gone`: none ever again. */
export type SinkAnswer = number | "full" | "gone";

export interface BoundedLinesOptions {
  readonly sink: LineSink;
  /** Bytes that may wait to be written. */
  readonly unwrittenBytesMax?: number;
  /** All that waited has been written, and meanwhile so many lines were left out. */
  readonly onLeftOut?: (lines: number) => void;
  /** Has `retry` called after a while. */
  readonly later?: (retry: () => void) => void;
}

export const UNWRITTEN_BYTES_MAX = 1024 * 1024;
/** Up to so many bytes a pipe takes whole or not at all (PIPE_BUF), also where several threads write. */
const WHOLE_BYTES_MAX = 4096;
const RETRY_MS = 50;

export class BoundedLines implements LogDestination {
  readonly #sink: LineSink;
  readonly #unwrittenBytesMax: number;
  readonly #onLeftOut: (lines: number) => void;
  readonly #later: (retry: () => void) => void;
  /** What waits; of the first one `#written` bytes have left. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #written = 0;
  #leftOut = 0;
  #retrying = false;

  constructor(options: BoundedLinesOptions) {
    this.#sink = options.sink;
    this.#unwrittenBytesMax = options.unwrittenBytesMax ?? UNWRITTEN_BYTES_MAX;
    this.#onLeftOut = options.onLeftOut ?? (() => {});
    this.#later = options.later ?? ((retry) => void setTimeout(retry, RETRY_MS).unref());
  }

  write(line: string): void {
    // While others wait nobody overtakes, and the sink is not asked for each line.
    if (this.#waitingBytes > 0) this.#keep(Buffer.from(line));
    else if (this.#leftOut > 0) this.#leaveOut();
    else this.#writeFirst(Buffer.from(line));
  }

  /** Tries again to write what waits. True when nothing does any more. */
  flush(): boolean {
    while (this.#waitingBytes > 0) {
      const piece = this.#nextPiece();
      const taken = this.#sink.write(piece);
      if (taken === "gone") this.#forget();
      else if (taken === "full") return false;
      else this.#take(taken);
    }
    const lines = this.#leftOut;
    this.#leftOut = 0;
    if (lines > 0) this.#onLeftOut(lines);
    return this.#waitingBytes === 0;
  }

  #writeFirst(line: Buffer): void {
    const taken = this.#sink.write(line);
    if (taken === line.length || taken === "gone") return;
    if (typeof taken === "number") this.#keep(line.subarray(taken), true);
    else this.#keep(line);
  }

  /** `begun`: the beginning of the line has been written, so the rest is kept however long it is. */
  #keep(line: Buffer, begun = false): void {
    if (!begun && this.#waitingBytes + line.length > this.#unwrittenBytesMax) {
      this.#leaveOut();
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#retryLater();
  }

  #leaveOut(): void {
    this.#leftOut++;
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#retrying) return;
    this.#retrying = true;
    this.#later(() => {
      this.#retrying = false;
      if (!this.flush()) this.#retryLater();
    });
  }

  /** As many waiting lines as are written whole, or what is left of one that is longer. */
  #nextPiece(): Buffer {
    const first = this.#waiting[0]!.subarray(this.#written);
    let count = 1;
    let bytes = first.length;
    while (count < this.#waiting.length && bytes + this.#waiting[count]!.length <= WHOLE_BYTES_MAX) {
      bytes += this.#waiting[count++]!.length;
    }
    return count === 1 ? first : Buffer.concat([first, ...this.#waiting.slice(1, count)], bytes);
  }

  #take(bytes: number): void {
    this.#waitingBytes -= bytes;
    let written = this.#written + bytes;
    let whole = 0;
    while (whole < this.#waiting.length && written >= this.#waiting[whole]!.length) {
      written -= this.#waiting[whole++]!.length;
    }
    this.#waiting.splice(0, whole);
    this.#written = written;
  }

  /** Nobody will ever read it. */
  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#written = 0;
    this.#leftOut = 0;
  }
}
