/**
 * What the watch hub may spend: each bound with the load or the client it is for.
 */
import type { RateLimit } from "../../base/token-bucket.ts";

export interface WatchLimits {
  /** What waits for one client stream, in bytes of distinct answers, before its watches lag: a client that reads slowly. */
  readonly queueBytesMax: number;
  /** Recent events kept of one upstream watch, in bytes, for those who join or come back; the newest batch is always kept. */
  readonly ringBytesMax: number;
  /** Recent events kept of all upstream watches together, in bytes: many ranges. */
  readonly ringsBytesMax: number;
  /** Upstream watches that serve laggards at once. */
  readonly catchUpsMax: number;
  /** How many revisions apart laggards of one range may be and still share a catch-up watch. */
  readonly catchUpWindowRevisions: number;
  /** Requests of one client stream that wait for their answers, in bytes, before the client must wait too. */
  readonly requestBytesMax: number;
  /** Events of several revisions are told in one message up to this size, in bytes; one revision is never divided. */
  readonly messageBytesGoal: number;
  /**
   * What the events of one revision may take, in bytes, while not all of them have come: a member whose fragments never
   * end. Beyond it the member is left, and a watch that this happens to again and again is cancelled.
   */
  readonly revisionBytesMax: number;
  /** Watches that were asked for, are not wanted any more and have no answer yet, on one stream: a member that is silent. */
  readonly unansweredCreatesMax: number;
  /** How long a probe of the revision may keep the next one waiting, in milliseconds: a member that hangs. */
  readonly hangMs: number;
  /** Ends of watches and streams by members, after which they are opened anew at once: a member that ends them all. */
  readonly endings: RateLimit;
  /** Above this size, in bytes, a message is divided for those who asked for fragments. */
  readonly fragmentBytesMax: number;
  /** Revisions that a member tells in one message at most (etcd's `watchBatchMaxRevs`): one with fewer tells all. */
  readonly memberMessageRevisionsMax: number;
}

export const WATCH_LIMITS: WatchLimits = {
  queueBytesMax: 1024 * 1024,
  ringBytesMax: 1024 * 1024,
  ringsBytesMax: 64 * 1024 * 1024,
  catchUpsMax: 16,
  catchUpWindowRevisions: 10_000,
  requestBytesMax: 128 * 1024,
  messageBytesGoal: 64 * 1024,
  revisionBytesMax: 128 * 1024 * 1024,
  unansweredCreatesMax: 16_384,
  hangMs: 2000,
  endings: { burst: 1000, perSecond: 50 },
  fragmentBytesMax: 1536 * 1024,
  memberMessageRevisionsMax: 1000,
};
