/**
 * Counts length-prefixed messages (gRPC over HTTP2, "Length-Prefixed-Message") as their bytes pass, by their prefixes alone.
 * Nearly every piece is one whole message, which `isOneMessage` sees without keeping anything.
 */
import { readUint32 } from "../http2/frame.ts";
import { MESSAGE_PREFIX_BYTES } from "./message-scanner.ts";

/** Whether `bytes[start, end)` is exactly one message, if one begins there. */
export function isOneMessage(bytes: Uint8Array, start: number, end: number): boolean {
  const size = end - start;
  return size >= MESSAGE_PREFIX_BYTES && readUint32(bytes, start + 1) === size - MESSAGE_PREFIX_BYTES;
}

/** Follows one direction of a call from the beginning of a message on. */
export class MessageCounter {
  /** Payload bytes of the current message still to come. */
  #payloadLeft = 0;
  /** Octets of the current prefix that have come. */
  #prefixBytes = 0;
  #length = 0;

  /** How many messages end in `bytes[start, end)`. */
  count(bytes: Uint8Array, start: number, end: number): number {
    let messages = 0;
    let at = start;
    while (at < end) {
      if (this.#payloadLeft > 0) {
        const step = Math.min(this.#payloadLeft, end - at);
        this.#payloadLeft -= step;
        at += step;
        if (this.#payloadLeft === 0) messages++;
      } else if (this.#prefixBytes === 0 && end - at >= MESSAGE_PREFIX_BYTES) {
        this.#payloadLeft = readUint32(bytes, at + 1);
        at += MESSAGE_PREFIX_BYTES;
        if (this.#payloadLeft === 0) messages++;
      } else {
        const byte = bytes[at++]!;
        this.#length = this.#prefixBytes === 0 ? 0 : this.#length * 256 + byte;
        if (++this.#prefixBytes < MESSAGE_PREFIX_BYTES) continue;
        this.#prefixBytes = 0;
        this.#payloadLeft = this.#length;
        if (this.#payloadLeft === 0) messages++;
      }
    }
    return messages;
  }
}
