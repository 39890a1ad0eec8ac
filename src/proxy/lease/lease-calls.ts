/**
 * How the lease hub reaches members: LeaseKeepAlive calls.
 *
 * Stands between the hub, which knows heartbeats and no connections, and the channel. Whatever ends a call is told
 * once, by `onEnd`; sending again is the hub's business.
 */
import type { Status } from "../../grpc/status.ts";
import type { StreamEnd } from "../upstream/member-stream.ts";

/** A LeaseKeepAlive call to a member. */
export interface LeaseCall {
  /** There is a connection to a member that carries the call; nothing can be sent before. */
  readonly reached: boolean;
  /**
   * Sends requests with their length prefixes, `bytes[0, end)`. Returns how many bytes have left; `onSent` tells of
   * the others, never before this returns, and until then the storage is the call's.
   */
  sendFramed(bytes: Uint8Array, end: number): number;
  /** Sends no more. The member answers what it has got, then ends the call. */
  halfClose(): void;
  /** The hub is done with `bytes` bytes of answers (the lengths that `onResponse` told). */
  consume(bytes: number): void;
  /** Gives the call up; the handler hears no more. */
  cancel(): void;
  /** The member does what no etcd does: gives the call up, and the member if there is another. */
  reject(limit: null, reason: string): void;
}

export interface LeaseCallHandler {
  /** The call is carried now; told only of one that was not `reached` when it was opened. */
  onReached(): void;
  /** A LeaseKeepAliveResponse, encoded: `bytes[start, end)`, valid during this call only. */
  onResponse(bytes: Uint8Array, start: number, end: number): void;
  /** `bytes` bytes of requests that had to wait have left. */
  onSent(bytes: number): void;
  /** The call is over: the member's status, or why it was lost or could not be reached. */
  onEnd(status: Status, end: StreamEnd): void;
  /** New calls go to another connection now; this one goes on. */
  onSuperseded(): void;
}

export interface LeaseCalls {
  /**
   * Opens a call in the name of `token` ("": nobody), with `hasleader` when `requiresLeader`. The handler hears
   * nothing before this returns.
   */
  open(token: string, requiresLeader: boolean, handler: LeaseCallHandler): LeaseCall;
  /** What to tell a client while no member can be reached: every endpoint and why. */
  unavailable(): Status;
}
