/**
 * Holds back what has come of a request's enveloped messages until they are whole.
 *
 * Connect puts a message together by copying all it has with every piece that comes: a client that sends large messages in
 * small pieces and never ends them makes it leave gigabytes of garbage behind. So it is given whole messages only.
 */
import { ByteWriter } from "../base/byte-writer.ts";
import { MessageScanner } from "./message-scanner.ts";

export class WholeMessages {
  readonly #scanner: MessageScanner;
  #held = new ByteWriter();
  /** A message is longer than there may be: whoever is told of its prefix refuses it. */
  #tooLong = false;

  constructor(messageBytesMax: number) {
    this.#scanner = new MessageScanner(messageBytesMax);
  }

  /** Takes in `bytes[start, end)`. Returns what is to be handed on, empty while the last message is not whole. */
  add(bytes: Uint8Array, start: number, end: number): Uint8Array {
    this.#held.write(bytes, start, end);
    if (!this.#tooLong) this.#tooLong = this.#scanner.scan(bytes, start, end) >= 0;
    return this.#tooLong || this.#scanner.atBoundary ? this.rest() : NO_BYTES;
  }

  /** What is held, whole or not. */
  rest(): Uint8Array {
    const { bytes, length } = this.#held;
    this.#held = new ByteWriter();
    return bytes.subarray(0, length);
  }
}

const NO_BYTES = new Uint8Array(0);
