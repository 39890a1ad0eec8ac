/**
 * The id in a LeaseKeepAliveRequest or LeaseKeepAliveResponse, read where it lies (etcd API, Lease).
 *
 * Ids are int64, and those that etcd chooses lie beyond what a double holds exactly; a BigInt for each heartbeat
 * would cost more than the rest of it. So an id is three groups of bits, which are equal when the ids are. Unknown
 * fields are passed over; of a repeated field the last one counts.
 */
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";

const VARINT = 0;
const REQUEST_ID = 1;
const ANSWER_ID = 2;
const VARINT_BYTES_MAX = 10;

const cursor = new ProtobufCursor();

export class LeaseIdReader {
  /** Bits 0 to 27. */
  low = 0;
  /** Bits 28 to 55. */
  middle = 0;
  /** Bits 56 to 63. */
  high = 0;

  /** Reads the LeaseKeepAliveRequest `bytes[start, end)`. @throws MalformedMessage when it is not one. */
  readRequest(bytes: Uint8Array, start: number, end: number): void {
    this.#read(bytes, start, end, REQUEST_ID);
  }

  /** Reads the LeaseKeepAliveResponse `bytes[start, end)`. @throws MalformedMessage when it is not one. */
  readAnswer(bytes: Uint8Array, start: number, end: number): void {
    this.#read(bytes, start, end, ANSWER_ID);
  }

  #read(bytes: Uint8Array, start: number, end: number, idField: number): void {
    this.low = 0;
    this.middle = 0;
    this.high = 0;
    cursor.at = start;
    while (cursor.at < end) {
      const tag = cursor.tag(bytes, end);
      if (tag >>> 3 !== idField) {
        cursor.skip(bytes, tag, end);
        continue;
      }
      if ((tag & 7) !== VARINT) throw new MalformedMessage(`field ID has the wire type ${tag & 7}`);
      this.#readId(bytes, end);
    }
  }

  #readId(bytes: Uint8Array, end: number): void {
    this.low = 0;
    this.middle = 0;
    this.high = 0;
    const start = cursor.at;
    const stop = Math.min(end, start + VARINT_BYTES_MAX);
    for (let at = start; at < stop; at++) {
      const byte = bytes[at]!;
      const bits = byte & 0x7f;
      const group = at - start;
      if (group < 4) this.low |= bits << (7 * group);
      else if (group < 8) this.middle |= bits << (7 * (group - 4));
      else this.high = (this.high | (bits << (7 * (group - 8)))) & 0xff;
      if (byte < 0x80) {
        cursor.at = at + 1;
        return;
      }
    }
    throw new MalformedMessage(stop === end ? "an id is cut short" : "an id has more than ten bytes");
  }
}
