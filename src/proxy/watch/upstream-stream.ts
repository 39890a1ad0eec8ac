/**
 * A Watch call to a member, and the upstream watches that ride on it.
 *
 * Stands between the call, which carries messages, and the watches. Answers to creates come in their order, so the
 * first one asked for is the one meant. How the member answers progress requests is found out with the first
 * message: newer ones (3.4.25, 3.5.8) keep silent while a stream has no watch and answer behind all events;
 * older ones answer at once, beside the events, which may come later.
 */
import { copyBytes } from "../../base/copy-bytes.ts";
import { type AnswerHeader, type WatchEvent, WatchResponseReader } from "../../etcd/watch-response.ts";
import { cancelRequest, createRequest, progressRequest } from "../../etcd/watch-request.ts";
import type { MemberLimit } from "../../grpc/channel-options.ts";
import type { Status } from "../../grpc/status.ts";
import { EVENT_BYTES } from "./event-batch.ts";
import {
  OrderedAnswers,
  type ProgressAnswers,
  type ProvenProgress,
  UnorderedAnswers,
} from "./progress-answers.ts";
import { responseProblem } from "./response-problem.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import type { WatchCall, WatchCallHandler, WatchCalls } from "./watch-calls.ts";
import type { WatchLimits } from "./watch-limits.ts";

export interface UpstreamStreamOwner {
  /** Calls that were lost or left until now. */
  readonly callsLeft: number;
  nowMs(): number;
  after(delayMs: number, run: () => void): () => void;
  /** The member would not open the watch: for want of permission, or for another reason of its own. */
  onRefused(watch: UpstreamWatch, stream: UpstreamStream, reason: string): void;
  /** The watch was opened beyond where its member is. */
  onAhead(watch: UpstreamWatch): void;
  /** The member has ended a watch that was open. */
  onCanceled(watch: UpstreamWatch, stream: UpstreamStream, reason: string): void;
  /** The member has answered. */
  onHeader(header: AnswerHeader): void;
  /** The member has answered a progress request. */
  onProgress(stream: UpstreamStream, progress: ProvenProgress): void;
  /** A watch of the stream has ended. */
  onWatchEnded(stream: UpstreamStream): void;
  /** The call is over; its watches are carried by nothing. */
  onLost(stream: UpstreamStream, watches: readonly UpstreamWatch[], status: Status): void;
  /** The channel has turned to another connection. */
  onSuperseded(stream: UpstreamStream): void;
  /** The member does what no etcd does, such as reaching a `limit`: the call is to be rejected. */
  onFault(stream: UpstreamStream, limit: MemberLimit | null, fault: string): void;
  onEvents(bytes: Uint8Array, events: readonly WatchEvent[]): void;
}

interface Creation {
  readonly watch: UpstreamWatch;
  readonly startRevision: number;
  /** Progress requests that had been sent before. */
  readonly requestsBefore: number;
  /** Whoever wanted it does not any more. */
  dropped: boolean;
}

export class UpstreamStream implements WatchCallHandler {
  readonly token: string;
  /** How many calls had been left before this one was opened. */
  readonly openedAt: number;
  /** Takes no further watches. */
  retiring = false;
  ended = false;
  /** The member has answered something. */
  answered = false;
  /** Watches by their id here. */
  readonly watches = new Map<number, UpstreamWatch>();
  readonly #owner: UpstreamStreamOwner;
  readonly #call: WatchCall;
  readonly #reader: WatchResponseReader;
  readonly #unansweredCreatesMax: number;
  /** Of the creates without an answer, those that nobody wants any more. */
  #droppedCreates = 0;
  /** Answers to progress requests beyond the requests. */
  #progressSurplus = 0;
  /** Creates without an answer, first come first. */
  readonly #creations: Creation[] = [];
  #nextWatchId = 1;
  #progress: ProgressAnswers = new OrderedAnswers();
  #firstWatchOpen = false;
  /** To be asked for once the first watch is open. */
  #progressWanted = false;
  #heldCreditBytes = 0;
  #paused = false;

  constructor(
    calls: WatchCalls,
    token: string,
    limits: Pick<WatchLimits, "revisionBytesMax" | "unansweredCreatesMax">,
    owner: UpstreamStreamOwner,
  ) {
    this.token = token;
    this.openedAt = owner.callsLeft;
    this.#owner = owner;
    this.#reader = new WatchResponseReader(Math.ceil(limits.revisionBytesMax / EVENT_BYTES));
    this.#unansweredCreatesMax = limits.unansweredCreatesMax;
    this.#call = calls.open(token, false, this);
    this.#askProgress();
  }

  get size(): number {
    return this.watches.size;
  }

  /** The member's progress answers come beside the events, which may be later. */
  get progressUnordered(): boolean {
    return this.#progress instanceof UnorderedAnswers;
  }

  /** Asks the member for the watch, from where that stands. */
  open(watch: UpstreamWatch): void {
    const watchId = this.#nextWatchId++;
    const startRevision = watch.resumeRevision;
    watch.stream = this;
    watch.streamWatchId = watchId;
    watch.live = false;
    this.watches.set(watchId, watch);
    const requestsBefore = this.#progress.requests;
    this.#creations.push({ watch, startRevision, requestsBefore, dropped: false });
    this.#call.send(
      createRequest({
        range: watch.range,
        startRevision,
        prevKv: watch.prevKv,
        progressNotify: true,
        fragment: true,
        watchId,
      }),
    );
  }

  /** The watch is wanted no more, or goes on elsewhere. */
  drop(watch: UpstreamWatch): void {
    if (this.watches.get(watch.streamWatchId) !== watch) return;
    this.watches.delete(watch.streamWatchId);
    this.#call.send(cancelRequest(watch.streamWatchId));
    watch.stream = null;
    watch.live = false;
    for (const creation of this.#creations) {
      if (creation.watch !== watch || creation.dropped) continue;
      creation.dropped = true;
      this.#droppedCreates++;
    }
    if (this.#droppedCreates > this.#unansweredCreatesMax) {
      this.#owner.onFault(this, "unansweredCreates", "it does not open watches");
    }
  }

  /**
   * Asks how far the member has come; `onProgress` tells when it answers, which it may not. `fresh`: earlier
   * requests' answers are of no use.
   */
  requestProgress(fresh = false): void {
    if (this.watches.size === 0 || this.ended) return;
    // Before the first watch is open an answer would be taken for a sign of how this member answers.
    if (this.#firstWatchOpen) this.#progress.request(this.#askProgress, fresh);
    else this.#progressWanted = true;
  }

  readonly #askProgress = (): void => {
    if (this.ended) return;
    this.#progressSurplus--;
    this.#call.send(PROGRESS_REQUEST);
  };

  /** Lets the member wait with what it has to say. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const bytes = this.#heldCreditBytes;
    this.#heldCreditBytes = 0;
    if (bytes > 0) this.#call.consume(bytes);
  }

  /** Ends the call. Its watches are carried by nothing. */
  close(): void {
    if (this.ended) return;
    this.#call.cancel();
    this.#leaveWatches();
  }

  /** As `close`, and leaves the member if there is another. `limit`: the one that it has reached. */
  reject(limit: MemberLimit | null, reason: string): void {
    if (this.ended) return;
    this.#leaveWatches();
    this.#call.reject(limit, reason);
  }

  #leaveWatches(): void {
    this.ended = true;
    for (const watch of this.watches.values()) watch.onStreamLost();
    this.watches.clear();
  }

  // From the call.

  onResponse(bytes: Uint8Array, start: number, end: number): void {
    if (this.ended) return;
    // The events of a watch are kept, and a chunk off the wire is much larger.
    const own = copyBytes(bytes, start, end);
    if (this.#paused) this.#heldCreditBytes += end - start;
    else this.#call.consume(end - start);
    try {
      this.#reader.read(own, 0, own.length);
    } catch (error) {
      this.#owner.onFault(this, null, `a malformed WatchResponse: ${(error as Error).message}`);
      return;
    }
    const problem = responseProblem(this.#reader);
    if (problem !== "") {
      this.#owner.onFault(this, null, problem);
      return;
    }
    this.answered = true;
    if (this.#reader.header.revision > 0) this.#owner.onHeader(this.#reader.header);
    this.#take(this.#reader, own);
  }

  onEnd(status: Status): void {
    if (this.ended) return;
    this.ended = true;
    const lost = [...this.watches.values()];
    this.watches.clear();
    for (const watch of lost) watch.onStreamLost();
    this.#owner.onLost(this, lost, status);
  }

  onSuperseded(): void {
    if (!this.ended) this.#owner.onSuperseded(this);
  }

  #take(response: WatchResponseReader, bytes: Uint8Array): void {
    if (response.created) {
      this.#onCreated(response);
      return;
    }
    if (response.watchId === STREAM_WATCH_ID && !response.canceled && response.events.length === 0) {
      this.#onProgressAnswer(response.header);
      return;
    }
    const watch = this.watches.get(response.watchId);
    this.#progress.onWatchTold(watch, response);
    // What still comes for a watch that was dropped.
    if (watch === undefined) return;
    if (response.events.length > 0) {
      this.#owner.onEvents(bytes, response.events);
      watch.onEvents(response, bytes);
    }
    if (response.canceled) {
      this.watches.delete(response.watchId);
      watch.onStreamLost();
      if (response.compactRevision !== 0) {
        // The member keeps the id, and counts the watch as one that is behind, until it is cancelled.
        this.#call.send(cancelRequest(response.watchId));
        watch.onCompacted(response.compactRevision);
      } else {
        this.#owner.onCanceled(watch, this, response.cancelReason);
      }
      this.#owner.onWatchEnded(this);
    } else if (response.events.length === 0) {
      watch.onProgress(response.header);
    }
  }

  #onCreated(response: WatchResponseReader): void {
    const creation = this.#creations.shift();
    if (creation === undefined) return;
    this.#firstWatchOpen = true;
    if (creation.dropped) {
      this.#droppedCreates--;
      return;
    }
    const { watch, startRevision, requestsBefore } = creation;
    if (!response.canceled) {
      this.#progress.onCreated(watch, startRevision, response.header.revision, requestsBefore);
      watch.onCreated(response.header, startRevision, this.#owner.nowMs());
      if (startRevision > response.header.revision + 1) this.#owner.onAhead(watch);
      if (this.#progressWanted) this.requestProgress(true);
      this.#progressWanted = false;
      return;
    }
    this.watches.delete(watch.streamWatchId);
    watch.onStreamLost();
    if (response.compactRevision !== 0) watch.onCompacted(response.compactRevision);
    else this.#owner.onRefused(watch, this, response.cancelReason);
    this.#owner.onWatchEnded(this);
  }

  #onProgressAnswer(header: AnswerHeader): void {
    if (++this.#progressSurplus > PROGRESS_SURPLUS_MAX) {
      this.#owner.onFault(this, null, "answers to progress requests that were never made");
      return;
    }
    if (!this.#firstWatchOpen && !this.progressUnordered) {
      this.#progress = new UnorderedAnswers(this.#owner);
      return;
    }
    const live = [...this.watches.values()].filter((watch) => watch.live);
    const proven = this.#progress.onAnswer(header, live, this.#askProgress);
    if (proven !== null) this.#owner.onProgress(this, proven);
  }
}

const PROGRESS_REQUEST = progressRequest();
/** Answers to progress requests that were never made: each is held against every watch of the stream. */
const PROGRESS_SURPLUS_MAX = 64;
/** The id of answers that are about the stream. */
const STREAM_WATCH_ID = -1;
