/**
 * Where decoding stands inside one header block: the bytes, the next octet, the end.
 *
 * It stands between the decoder and the primitives of RFC 7541 §5 (integers, strings), which read at
 * `at` and advance it: a shared position costs nothing, a returned pair would cost an object each time.
 * Invariant: start <= at <= end <= bytes.length.
 */

const EMPTY = new Uint8Array(0);

export class BlockCursor {
  bytes: Uint8Array = EMPTY;
  /** Offset of the next octet to read. */
  at = 0;
  /** Offset behind the block's last octet. */
  end = 0;

  /** Starts at the front of the block `bytes[start, end)`. */
  open(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Lets go of the block, so that an idle connection does not keep a large receive buffer alive. */
  close(): void {
    this.bytes = EMPTY;
    this.at = 0;
    this.end = 0;
  }
}
