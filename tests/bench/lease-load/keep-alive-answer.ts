/**
 * Reads a LeaseKeepAliveResponse without making an object for it: which lease lives how long.
 *
 * It knows how etcd encodes the answer (fields in the order of their numbers, a TTL of 0 absent), which every proxy
 * passes on; any other field is an error. Invariant: ids are exact below 2^53, and a TTL below 0 is told as -1.
 */

const HEADER = 0x0a;
const ID = 0x10;
const TTL = 0x18;
const INT64_MAX = 2 ** 63;

export class KeepAliveAnswer {
  leaseId = 0;
  ttlSeconds = 0;
  /** How far the last varint went. */
  #at = 0;

  /** Reads the answer `bytes[start, end)`. @throws Error when it is none. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.leaseId = 0;
    this.ttlSeconds = 0;
    this.#at = start;
    while (this.#at < end) {
      const tag = bytes[this.#at++]!;
      const value = this.#varint(bytes);
      if (tag === HEADER) this.#at += value;
      else if (tag === ID) this.leaseId = value;
      else if (tag === TTL) this.ttlSeconds = value < INT64_MAX ? value : -1;
      else throw new Error(`a LeaseKeepAliveResponse with the tag ${tag}, which this client does not know`);
    }
    if (this.#at !== end) throw new Error("a LeaseKeepAliveResponse that is cut off");
  }

  #varint(bytes: Uint8Array): number {
    let byte = bytes[this.#at++]!;
    let value = byte & 0x7f;
    for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
      byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
    }
    return value;
  }
}
