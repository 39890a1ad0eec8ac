/**
 * A call as the one who answers it sees it, whatever protocol it came by.
 *
 * Stands between a protocol (gRPC over our HTTP/2, or Connect in process) and the proxy's services. Bytes are
 * length-prefixed gRPC messages, cut anywhere. Backpressure runs both ways by count: `consume` lets the
 * client send more, `onAnswerSent` tells when answer bytes have left. A call ends exactly once, by `finish…` here or
 * by `onCancel` there; whatever comes later is dropped.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import type { CallHead } from "./call-head.ts";
import type { MethodCounts } from "./method-counts.ts";
import type { Status } from "./status.ts";

/**
 * The limits that a single call can reach. `messageSize`: of a request message; `inflatedMessage`: of one that came
 * compressed; `waitingCalls`: of calls without a member.
 */
export type CallLimitName = "messageSize" | "inflatedMessage" | "waitingCalls";

export interface ServerCall {
  readonly head: CallHead;
  /** The client's address; absent where only what the call came by knows it. */
  readonly peer?: string | undefined;
  /** When the client gives up, in milliseconds of `performance.now()`; `Infinity` for never. */
  readonly deadlineMs: number;
  /** Who is told of the request; set before the first byte is handed out. */
  receiver: CallReceiver;
  /** Where its end and its messages are counted; set, if at all, with `receiver`. Null: nowhere. */
  counts: MethodCounts | null;
  readonly finished: boolean;
  /** Sends the header section of the answer; `:status` is part of it. */
  sendHead(fields: readonly HeaderField[]): void;
  /** Sends bytes of the answer's messages. Returns how many have left; `onAnswerSent` reports the others. */
  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number;
  /** Ends the call with a trailer section that has the status. */
  finishWithTrailers(fields: readonly HeaderField[]): void;
  /** Ends the call with an answer that is one header section and nothing more ("Trailers-Only"). */
  finishWithHead(fields: readonly HeaderField[]): void;
  /** Ends the call without trailers: for answers that are not gRPC. */
  finish(): void;
  /** Ends the call with a status, wherever it stands. */
  finishWithStatus(status: Status): void;
  /** The receiver is done with `bytes` bytes of the request. */
  consume(bytes: number): void;
  /** The receiver keeps `bytes` bytes until the call ends: they count for the process's buffer limit. */
  retain(bytes: number): void;
  /** The client has reached a limit with this call: for logs and counters. `reason` is for people. */
  limitReached(limit: CallLimitName, reason: string): void;
}

export interface CallReceiver {
  /** Bytes of request messages, never changed afterwards. */
  onRequestBytes(bytes: Uint8Array, start: number, end: number): void;
  /** The client sends no more. */
  onRequestEnd(): void;
  /** `bytes` bytes of the answer have left the queue. */
  onAnswerSent(bytes: number): void;
  /**
   * The call is over without an answer: client reset, client gone, deadline passed. `status`: what the client was told;
   * absent where it has gone itself.
   */
  onCancel(reason: string, status?: Status): void;
}

/** Receiver of a call that nobody serves any more. */
export const NO_RECEIVER: CallReceiver = {
  onRequestBytes() {},
  onRequestEnd() {},
  onAnswerSent() {},
  onCancel() {},
};
