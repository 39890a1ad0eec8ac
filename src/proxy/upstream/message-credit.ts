/**
 * When bytes of a stream of messages may be credited to their sender, if whole messages are what is consumed.
 *
 * A message is credited by whoever consumes it. Its prefix, and what has come of an unfinished message, is
 * credited at once: a message larger than the window would never be finished otherwise. Nothing is credited twice.
 */
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";

export class MessageCredit {
  #receivedBytes = 0;
  /** Of messages handed on, with their prefixes. */
  #handedOnBytes = 0;
  /** Of the unfinished message, prefix included, credited already. */
  #aheadBytes = 0;
  /** Of messages handed on, credited before they were. */
  #creditedBytes = 0;
  #prefixBytes = 0;

  /** A message of `bytes` bytes is about to be handed on. */
  handedOn(bytes: number): void {
    this.#handedOnBytes += MESSAGE_PREFIX_BYTES + bytes;
    this.#prefixBytes += MESSAGE_PREFIX_BYTES - Math.min(MESSAGE_PREFIX_BYTES, this.#aheadBytes);
    this.#creditedBytes += Math.max(0, this.#aheadBytes - MESSAGE_PREFIX_BYTES);
    this.#aheadBytes = 0;
  }

  /** `bytes` bytes have come and their messages were handed on. Returns what to credit now. */
  received(bytes: number): number {
    this.#receivedBytes += bytes;
    const unfinishedBytes = this.#receivedBytes - this.#handedOnBytes;
    const due = unfinishedBytes - this.#aheadBytes + this.#prefixBytes;
    this.#receivedBytes = unfinishedBytes;
    this.#handedOnBytes = 0;
    this.#aheadBytes = unfinishedBytes;
    this.#prefixBytes = 0;
    return due;
  }

  /** `bytes` bytes of messages have been consumed. Returns what to credit. */
  due(bytes: number): number {
    const before = Math.min(bytes, this.#creditedBytes);
    this.#creditedBytes -= before;
    return bytes - before;
  }
}
