/**
 * One client watch.
 *
 * Its contract is a revision: everything of its range below `nextRevision` has been put into its client's queue,
 * nothing at or above it has. While it is live on an upstream watch it takes what that one takes, and
 * `nextRevision` stands still; whoever takes it off sets the revision.
 */
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Seat } from "./audience.ts";
import type { ClientStream } from "./client-stream.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";

/** Watch ids are int64; those that a number can hold are one. */
export type WatchId = number | bigint;

/** `watch_id` of answers that are about no watch, or about all of the stream. */
export const NO_WATCH_ID = -1;

/** What a client asked for besides a range. */
export interface WatchOptions {
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

const OPTIONS: WatchOptions[] = [];

/** The one object for these options: there are few, and many watches. */
export function watchOptions(
  prevKv: boolean,
  noPut: boolean,
  noDelete: boolean,
  fragment: boolean,
  progressNotify: boolean,
): WatchOptions {
  const index =
    (prevKv ? 1 : 0) | (noPut ? 2 : 0) | (noDelete ? 4 : 0) | (fragment ? 8 : 0) | (progressNotify ? 16 : 0);
  return (OPTIONS[index] ??= { prevKv, noPut, noDelete, fragment, progressNotify });
}

/**
 * - `expected`: its turn to be told `created` has not come; nothing may be sent for it.
 * - `future`: waits at an upstream watch for its first revision, or for that watch to open.
 * - `live`: has a seat at an upstream watch.
 * - `lagging`: behind; waits for its client to read, or for a catch-up watch.
 * - `ended`: cancelled, refused, or its client is gone.
 */
export type SubscriberState = "expected" | "future" | "live" | "lagging" | "ended";

export class Subscriber {
  readonly stream: ClientStream;
  /** Shared by all who watch it. */
  range: KeyRange;
  readonly options: WatchOptions;
  /** Given when it is created. */
  id: WatchId = -1;
  /** What its client asked to start from; 0: now. */
  readonly startRevision: number;
  nextRevision: number;
  /** False while its `nextRevision` may be one that the members have compacted: they have to say so. */
  historyKnown = true;
  /** How many calls to members had been left when it was last asked whether it may watch its range. */
  provenAt = 0;
  /** Its client has cancelled it: what is queued for it is not sent any more. */
  muted = false;
  /** Why it cannot be, found out before it was told `created`. */
  refusal: string | null = null;
  state: SubscriberState = "expected";
  /** Where it is live, or waits as `future`. */
  watch: UpstreamWatch | null = null;
  /** Where it sits while it is live. */
  seat: Seat | null = null;
  seatIndex = 0;
  /** Its place among those who watch the range. */
  demandIndex = 0;

  /** `startRevision` 0: now, which becomes a revision when the watch is created. */
  constructor(stream: ClientStream, range: KeyRange, options: WatchOptions, startRevision: number) {
    this.stream = stream;
    this.range = range;
    this.options = options;
    this.startRevision = startRevision;
    this.nextRevision = startRevision;
  }

  get ended(): boolean {
    return this.state === "ended";
  }

  /** The first revision that it has not been given, wherever it is. */
  get dueRevision(): number {
    return this.state === "live" && this.watch !== null ? this.watch.nextRevision : this.nextRevision;
  }

  /** Leaves its upstream watch; what it has not been given begins at `nextRevision`. */
  detach(nextRevision: number): void {
    this.watch?.remove(this);
    this.watch = null;
    this.nextRevision = nextRevision;
  }
}
