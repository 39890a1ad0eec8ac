/**
 * Reads a RangeRequest where it lies (etcd API, KV): what decides whether its answer can be shared.
 *
 * Two requests whose `text` is the same ask for the same, but that one may be `serializable` and the other not.
 * Unknown fields are part of the text.
 */
import { latin1Text } from "../hpack/latin1.ts";
import { KeyRange } from "./key-range.ts";
import { ProtobufCursor } from "./protobuf-cursor.ts";

const KEY = 0x0a;
const RANGE_END = 0x12;
const REVISION = 0x20;
const SERIALIZABLE = 0x38;

const NO_BYTES = new Uint8Array(0);

/** Reads one RangeRequest after another. The fields are those of the last one. */
export class RangeRequestReader {
  serializable = false;
  /** The revision asked for; 0 or less for the latest. */
  revision = 0;
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #end = 0;
  #keyStart = 0;
  #keyEnd = 0;
  #rangeEndStart = 0;
  #rangeEndEnd = 0;
  /** The field `serializable`, with its tag. */
  #flagStart = 0;
  #flagEnd = 0;
  readonly #cursor = new ProtobufCursor();

  /**
   * Reads the message `bytes[start, end)`, which the getters refer to. False when it says `serializable` several
   * times, or has an empty `range_end` rather than none, which members up to 3.6 take for "\0" and others do not: no
   * client does, and it has no text. @throws MalformedMessage
   */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.serializable = false;
    this.revision = 0;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#keyStart = start;
    this.#keyEnd = start;
    this.#rangeEndStart = start;
    this.#rangeEndEnd = start;
    this.#flagStart = end;
    this.#flagEnd = end;
    let flags = 0;
    const cursor = this.#cursor;
    cursor.at = start;
    while (cursor.at < end) {
      const fieldStart = cursor.at;
      const tag = cursor.tag(bytes, end);
      switch (tag) {
        case KEY:
          this.#keyEnd = cursor.payloadEnd(bytes, end);
          this.#keyStart = cursor.at;
          cursor.at = this.#keyEnd;
          break;
        case RANGE_END:
          this.#rangeEndEnd = cursor.payloadEnd(bytes, end);
          this.#rangeEndStart = cursor.at;
          cursor.at = this.#rangeEndEnd;
          break;
        case REVISION:
          this.revision = cursor.int64(bytes, end);
          break;
        case SERIALIZABLE:
          this.serializable = cursor.int64(bytes, end) !== 0;
          this.#flagStart = fieldStart;
          this.#flagEnd = cursor.at;
          flags++;
          break;
        default:
          cursor.skip(bytes, tag, end);
      }
    }
    const emptyEnd = this.#rangeEndEnd === this.#rangeEndStart && this.#rangeEndEnd !== start;
    return flags <= 1 && !emptyEnd;
  }

  /** The request without `serializable`, one character for each byte. */
  get text(): string {
    const head = latin1Text(this.#bytes, this.#start, this.#flagStart);
    return this.#flagEnd === this.#end ? head : head + latin1Text(this.#bytes, this.#flagEnd, this.#end);
  }

  /** The keys that the answer depends on; null when there are none. */
  get range(): KeyRange | null {
    return KeyRange.ofPieces(
      this.#bytes,
      this.#keyStart,
      this.#keyEnd,
      this.#rangeEndStart,
      this.#rangeEndEnd,
    );
  }
}
