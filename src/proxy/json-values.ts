/**
 * Cuts a stream of bytes into the JSON values that it is made of, one behind the other with or without space between them:
 * the requests of a stream of calls in JSON.
 *
 * Only objects and arrays count as values: nothing else is a message. Where one ends is found by its brackets, those in
 * strings apart; whether it is JSON finds out who parses it.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A body that is not made of objects, or one of them is too long. */
export class JsonValuesError extends Error {
  override readonly name = "JsonValuesError";
}

/** The text of each value of `body`, once it is whole. @throws JsonValuesError */
export async function* jsonValues(
  body: AsyncIterable<Uint8Array>,
  valueBytesMax: number,
): AsyncGenerator<string> {
  const splitter = new Splitter(valueBytesMax);
  for await (const bytes of body) yield* splitter.take(bytes);
  splitter.end();
}

class Splitter {
  readonly #valueBytesMax: number;
  readonly #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(valueBytesMax: number) {
    this.#valueBytesMax = valueBytesMax;
  }

  *take(bytes: Uint8Array): Generator<string> {
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      if (this.#depth === 0) {
        if (isSpace(bytes[at]!)) continue;
        if (!opens(bytes[at]!)) throw new JsonValuesError("the body is not made of JSON objects");
        start = at;
      }
      if (!this.#endsValue(bytes[at]!)) continue;
      this.#hold(bytes.subarray(start, at + 1));
      yield Buffer.concat(this.#pieces).toString("utf8");
      this.#pieces.length = 0;
      this.#heldBytes = 0;
    }
    if (this.#depth > 0) this.#hold(bytes.slice(start));
  }

  end(): void {
    if (this.#depth > 0) throw new JsonValuesError("the last JSON object of the body is cut short");
  }

  #hold(bytes: Uint8Array): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > this.#valueBytesMax) {
      throw new JsonValuesError(`a JSON object is larger than ${this.#valueBytesMax} bytes`);
    }
    this.#pieces.push(bytes);
  }

  #endsValue(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return false;
    }
    if (byte === QUOTE) this.#inString = true;
    else if (opens(byte)) this.#depth++;
    else if (byte === 0x7d || byte === 0x5d) return --this.#depth === 0;
    return false;
  }
}

function opens(byte: number): boolean {
  return byte === 0x7b || byte === 0x5b;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
