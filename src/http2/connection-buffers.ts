/**
 * What one connection's peer makes us hold, and the two bounds on it: the connection's own and the process's.
 *
 * Stands below the connection, whose streams report every change, and beside the process's budget. Invariant: what
 * the budget counts for this connection is always `budgetedBytes`.
 */
import type { BufferBudget, BufferHolder } from "./buffer-budget.ts";
import type { Http2LimitName, Http2Limits } from "./limits.ts";

export abstract class ConnectionBuffers implements BufferHolder {
  readonly limits: Http2Limits;
  /** DATA bytes queued or unconsumed over all streams, and output the peer leaves unread. */
  heldBytes = 0;
  /** What the streams' owners keep on their behalf, such as requests that may have to be sent again. */
  retainedBytes = 0;
  readonly #budget: BufferBudget | undefined;
  #unreadBytes = 0;
  #unfinishedBytes = 0;

  protected constructor(limits: Http2Limits, budget: BufferBudget | undefined) {
    this.limits = limits;
    this.#budget = budget;
    budget?.join(this);
  }

  /** The bytes held for this connection's streams have changed by `bytes`. */
  heldBytesChanged(bytes: number): void {
    this.heldBytes += bytes;
    if (bytes > 0 && this.heldBytes > this.limits.connectionBufferBytesMax) {
      this.giveUpLargest("connectionBuffers");
    }
    this.#budget?.changed(bytes);
  }

  /** Retained bytes count for the process's bound only: many large requests at once are no fault of a client. */
  retainedBytesChanged(bytes: number): void {
    this.retainedBytes += bytes;
    this.#budget?.changed(bytes);
  }

  /** The peer has `bytes` bytes of output yet to read. */
  protected unreadBytesChanged(bytes: number): void {
    if (bytes === this.#unreadBytes) return;
    const change = bytes - this.#unreadBytes;
    this.#unreadBytes = bytes;
    this.heldBytesChanged(change);
  }

  /**
   * Frames and header blocks that are not whole take `bytes` bytes: for the process's bound only. One connection's are
   * bounded by the sizes of a frame and a block, and what is given up shall not depend on how the bytes were cut.
   */
  protected unfinishedBytesChanged(bytes: number): void {
    if (bytes === this.#unfinishedBytes) return;
    const change = bytes - this.#unfinishedBytes;
    this.#unfinishedBytes = bytes;
    this.#budget?.changed(change);
  }

  /** What counts for the process's bound. */
  get budgetedBytes(): number {
    return this.heldBytes + this.retainedBytes + this.#unfinishedBytes;
  }

  /** The process holds too much, and this connection most of it. */
  shedLargest(): void {
    this.giveUpLargest("processBuffers");
  }

  /** The connection is over and holds nothing. */
  protected leaveBudget(): void {
    this.#unreadBytes = 0;
    this.unfinishedBytesChanged(0);
    this.heldBytesChanged(-this.heldBytes);
    this.retainedBytesChanged(-this.retainedBytes);
    this.#budget?.leave(this);
  }

  /** Gives up the stream that holds most, or the whole connection when none holds anything. */
  protected abstract giveUpLargest(limit: Http2LimitName): void;
}
