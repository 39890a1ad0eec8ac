/**
 * A place in an encoded protobuf message, and the steps over what stands there (protobuf's "Encoding").
 *
 * It reads `bytes[at, end)` where they lie and makes no object of them. Each step takes the `end` of the message
 * it is in, and no step goes beyond it. Bytes come from a peer: what is broken throws `MalformedMessage`.
 */

/** Bytes of a peer are no valid protobuf message: a member's answer, or a client's request. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

const TAG_MAX = 0xffff_ffff;
const TAG_MIN = 1 << 3;
const START_GROUP = 3;
const END_GROUP = 4;
const GROUPS_DEPTH_MAX = 64;

export class ProtobufCursor {
  at = 0;

  /** The tag of the next field: its number times eight, and the wire type. */
  tag(bytes: Uint8Array, end: number): number {
    const tag = this.int64(bytes, end);
    if (tag < TAG_MIN || tag > TAG_MAX) throw new MalformedMessage(`${tag} is not the tag of a field`);
    return tag;
  }

  /** Reads the length of a string, bytes or message, which starts at `at` then. Returns its end. */
  payloadEnd(bytes: Uint8Array, end: number): number {
    const length = this.int64(bytes, end);
    if (length < 0 || length > end - this.at) {
      throw new MalformedMessage(`a field of ${length} bytes has ${end - this.at} left`);
    }
    return this.at + length;
  }

  /** Reads a varint as an int64. Beyond 2^53 the number is the nearest that there is. */
  int64(bytes: Uint8Array, end: number): number {
    const at = this.at;
    if (at < end) {
      const first = bytes[at]!;
      if (first < 0x80) {
        this.at = at + 1;
        return first;
      }
    }
    return this.#longInt64(bytes, end);
  }

  /** Reads a varint as an int32 or an enum: by its low 32 bits, whatever stands above them. */
  int32(bytes: Uint8Array, end: number): number {
    const start = this.at;
    const value = this.int64(bytes, end);
    if (Number.isSafeInteger(value)) return value | 0;
    let low = 0;
    for (let at = start, shift = 0; shift < 32; at++, shift += 7) low |= (bytes[at]! & 0x7f) << shift;
    return low;
  }

  /** Skips the value of the field with this tag. */
  skip(bytes: Uint8Array, tag: number, end: number): void {
    switch (tag & 7) {
      case 0:
        this.#skipVarint(bytes, end);
        return;
      case 1:
        this.#skipFixed(8, end);
        return;
      case 2:
        this.at = this.payloadEnd(bytes, end);
        return;
      case START_GROUP:
        this.#skipGroup(bytes, tag, end);
        return;
      case 5:
        this.#skipFixed(4, end);
        return;
      default:
        // The end of a group that has not begun, or nothing that protobuf knows.
        throw new MalformedMessage(`a field has the wire type ${tag & 7}`);
    }
  }

  /** No message of etcd's has a group; what is unknown may be one, and etcd passes over it. */
  #skipGroup(bytes: Uint8Array, tag: number, end: number): void {
    const open = [tag >>> 3];
    while (open.length > 0) {
      const inner = this.tag(bytes, end);
      const wireType = inner & 7;
      if (wireType === END_GROUP) {
        if (open.pop() !== inner >>> 3)
          throw new MalformedMessage("a group ends that is not the innermost one");
      } else if (wireType !== START_GROUP) this.skip(bytes, inner, end);
      else if (open.push(inner >>> 3) > GROUPS_DEPTH_MAX) {
        throw new MalformedMessage(`groups lie more than ${GROUPS_DEPTH_MAX} deep`);
      }
    }
  }

  #skipVarint(bytes: Uint8Array, end: number): void {
    const stop = Math.min(end, this.at + VARINT_BYTES_MAX);
    let at = this.at;
    while (at < stop) {
      if (bytes[at++]! < 0x80) {
        this.at = at;
        return;
      }
    }
    throw unendedVarint(at === end);
  }

  #skipFixed(size: number, end: number): void {
    if (size > end - this.at)
      throw new MalformedMessage(`a field of ${size} bytes has ${end - this.at} left`);
    this.at += size;
  }

  /** Four, four and two groups of seven bits, so that no step leaves the integers of 32 bits. */
  #longInt64(bytes: Uint8Array, end: number): number {
    const stop = Math.min(end, this.at + VARINT_BYTES_MAX);
    let at = this.at;
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let shift = 0; shift < 28 && at < stop; shift += 7) {
      const byte = bytes[at++]!;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.at = at;
        return low;
      }
    }
    for (let shift = 0; shift < 28 && at < stop; shift += 7) {
      const byte = bytes[at++]!;
      middle |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.at = at;
        return middle * TWO_TO_28 + low;
      }
    }
    for (let shift = 0; at < stop; shift += 7) {
      const byte = bytes[at++]!;
      high |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.at = at;
        // Eight bits are left, the first of them the sign. Summed from the top, only the last step rounds.
        return ((high << 24) >> 24) * TWO_TO_56 + middle * TWO_TO_28 + low;
      }
    }
    throw unendedVarint(at === end);
  }
}

const VARINT_BYTES_MAX = 10;
const TWO_TO_28 = 0x1000_0000;
const TWO_TO_56 = 0x100_0000_0000_0000;

function unendedVarint(atEnd: boolean): MalformedMessage {
  return new MalformedMessage(atEnd ? "a number is cut short" : "a number has more than ten bytes");
}
