/**
 * How the watch hub reaches members: Watch calls, and reads of nothing but a revision.
 *
 * Stands between the hub, which knows watches and no connections, and the channel. Whatever goes wrong with a call
 * is told once, by `onEnd` or `onFailed`; trying again is the hub's business.
 */
import type { KeyRange } from "../../etcd/key-range.ts";
import type { MemberLimit } from "../../grpc/channel-options.ts";
import type { Status } from "../../grpc/status.ts";

/** A Watch call to a member. */
export interface WatchCall {
  /** Sends a WatchRequest, encoded, without its length prefix. Before the member is reached it waits. */
  send(request: Uint8Array): void;
  /** The hub is done with `bytes` bytes of answers (the lengths that `onResponse` told). */
  consume(bytes: number): void;
  /** Gives the call up; the handler hears no more. */
  cancel(): void;
  /**
   * The member does what no etcd does, such as reaching a `limit`: gives the call up, and the member if there is
   * another. The handler hears no more.
   */
  reject(limit: MemberLimit | null, reason: string): void;
}

export interface WatchCallHandler {
  /** A WatchResponse, encoded: `bytes[start, end)`, valid during this call only. */
  onResponse(bytes: Uint8Array, start: number, end: number): void;
  /** The call is over: the member's status, or why it could not be reached. */
  onEnd(status: Status): void;
  /** New calls go to another connection now; this one goes on, but should be opened anew there. */
  onSuperseded(): void;
}

export interface RevisionReadHandler {
  /** A ResponseHeader, encoded: `bytes[start, end)`, valid during this call only. */
  onHeader(bytes: Uint8Array, start: number, end: number): void;
  onFailed(status: Status): void;
}

export interface WatchCalls {
  /**
   * Opens a Watch call in the name of `token` (""; nobody), with `hasleader` when `requireLeader`. Calls of one
   * turn go to one member. The handler hears nothing before this returns.
   */
  open(token: string, requireLeader: boolean, handler: WatchCallHandler): WatchCall;
  /**
   * Reads the revision, serializable, in the name of `token`, and has the member check that `token` may read
   * `range` (null: any key will do) and that `revision` (0: none) is not compacted.
   */
  readRevision(token: string, range: KeyRange | null, revision: number, handler: RevisionReadHandler): void;
  /**
   * Reads the revision of the cluster, not below any that a member has told before, in the name of `token`, which may
   * read `range`.
   */
  readLatest(token: string, range: KeyRange, handler: RevisionReadHandler): void;
  /** The member in use has reached a limit. */
  tellOfLimit(limit: MemberLimit, reason: string): void;
}
