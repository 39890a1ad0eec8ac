/**
 * What stands between a connection and the owner of its socket: how it is set up, what the owner is told,
 * how it ended.
 */
import type { BufferBudget } from "./buffer-budget.ts";
import type { Http2LimitName, Http2Limits } from "./limits.ts";
import type { Settings } from "./settings.ts";

/** How a connection ended. */
export interface ConnectionEnd {
  /** Error code of RFC 9113 §7. */
  readonly code: number;
  /** `self`: for what the peer did; `transport`: the socket closed; `finished`: nothing was left to do. */
  readonly cause: "self" | "transport" | "finished";
  readonly message: string;
  /** The limit the peer has reached, where that is why; else null. */
  readonly limit: Http2LimitName | null;
}

/** What the owner of the socket is told. */
export interface ConnectionHandler {
  /** `outbound.output` has something and nothing has been asked for yet: flush at the end of this turn. */
  onOutput(): void;
  /** `outbound.output` has grown large: flush now if the socket takes it. */
  onOutputLarge(): void;
  /** Nothing more will be received or opened. Flush `output`, then close the socket. */
  onEnd(end: ConnectionEnd): void;
  /**
   * The peer has reached a limit that costs it a stream or a request; one that costs it the connection is told
   * by `onEnd`. Never called for normal traffic.
   *
   * @param reason what happened, for people
   */
  onLimit?(limit: Http2LimitName, reason: string): void;
}

export interface ConnectionOptions {
  readonly limits: Http2Limits;
  /** What we ask of the peer. */
  readonly settings: Settings;
  readonly budget?: BufferBudget;
}

/** The handler of a connection whose socket has no owner yet. */
export const SILENT_HANDLER: ConnectionHandler = { onOutput() {}, onOutputLarge() {}, onEnd() {} };
