/**
 * How far the shared watches are, asked of the members once for all client streams that want to know.
 *
 * A client stream is answered by a round that began after it asked, when everything up to the revision is in its
 * queue: all its watches sit at shared watches whose stream has answered. A member that is busy does not
 * answer at all; then it is asked again, as long as a stream waits that could be answered.
 */
import type { Clock } from "../../base/clock.ts";
import type { AnswerHeader } from "../../etcd/watch-response.ts";
import type { ClientStream } from "./client-stream.ts";
import type { ProvenProgress } from "./progress-answers.ts";
import { NO_WATCH_ID } from "./subscriber.ts";
import type { UpstreamStream } from "./upstream-stream.ts";

/** How long a member may keep silent before it is asked again. */
const ASK_AGAIN_MS = 100;
const ASK_AGAIN_MAX_MS = 1000;

export class ProgressRounds {
  readonly #clock: Clock;
  readonly #streams: () => Iterable<UpstreamStream>;
  /** Client streams that wait, with the round that may answer them. */
  readonly #waiting = new Map<ClientStream, number>();
  /** Client streams that wait, and have asked once more. */
  readonly #askedAgain = new Set<ClientStream>();
  #round = 0;
  /** The round under way is to answer clients: what members were asked before is of no use. */
  #forClients = false;
  /** Streams that have not answered the round under way; null between rounds. */
  #unanswered: Set<UpstreamStream> | null = null;
  #planned = false;
  /** How long members may keep silent before they are asked again; grows while they do. */
  #pauseMs = ASK_AGAIN_MS;
  #beginning = false;
  /** Runs when the round under way is over. */
  #onDone: (() => void)[] = [];

  /** `streams`: the calls that carry shared watches. */
  constructor(clock: Clock, streams: () => Iterable<UpstreamStream>) {
    this.#clock = clock;
    this.#streams = streams;
  }

  /** Answers `stream` once it is up to a revision that is current now. */
  ask(stream: ClientStream): void {
    // Who waits already is answered first: a client that asks again and again would never be otherwise.
    if (this.#waiting.has(stream)) this.#askedAgain.add(stream);
    else this.#waiting.set(stream, this.#round + 1);
    this.#beginSoon();
  }

  /** A round for the shared watches' own sake; `onDone` runs when all streams have answered. */
  run(onDone: () => void): void {
    this.#onDone.push(onDone);
    this.#beginSoon();
  }

  forget(stream: ClientStream): void {
    this.#waiting.delete(stream);
    this.#askedAgain.delete(stream);
  }

  /** Everything up to the header's revision has come on some watches of a stream. */
  onProgress(stream: UpstreamStream, { header, watches, fresh }: ProvenProgress): void {
    const asked = this.#unanswered?.has(stream) === true;
    for (const watch of watches) {
      // An older member's word is good enough to be told, but nothing may be dropped on the strength of it.
      if (stream.progressUnordered) watch.flush();
      else watch.provenTo(header.revision);
      watch.saidRevision = Math.max(watch.saidRevision, header.revision);
      if (fresh && asked && this.#forClients) watch.provenRound = this.#round;
    }
    if (!asked || (this.#forClients && !fresh)) return;
    this.#unanswered?.delete(stream);
    this.#answer(header);
    this.#endIfDone();
  }

  onStreamLost(stream: UpstreamStream): void {
    if (this.#unanswered?.delete(stream) === true) this.#endIfDone();
  }

  #beginSoon(): void {
    if (this.#beginning || this.#unanswered !== null) return;
    this.#beginning = true;
    this.#clock.endOfTurn(() => {
      this.#beginning = false;
      this.#begin();
    });
  }

  #begin(): void {
    if (this.#unanswered !== null) return;
    this.#round++;
    this.#forClients = this.#waiting.size > 0;
    this.#pauseMs = ASK_AGAIN_MS;
    this.#unanswered = new Set();
    for (const stream of this.#streams()) {
      if (stream.size === 0) continue;
      this.#unanswered.add(stream);
      stream.requestProgress(this.#forClients);
    }
    this.#endIfDone();
    this.#planCheck();
  }

  #endIfDone(): void {
    if (this.#unanswered === null || this.#unanswered.size > 0) return;
    this.#unanswered = null;
    const done = this.#onDone;
    this.#onDone = [];
    for (const each of done) each();
  }

  /** Answers those who can be. */
  #answer(header: AnswerHeader): void {
    for (const [stream, round] of this.#waiting) {
      const revision = provenRevision(stream, round);
      // A watch that was opened since in the past may not be where the stream was said to be.
      if (revision === null || revision < stream.toldProgress) continue;
      this.#waiting.delete(stream);
      stream.sendProgress(NO_WATCH_ID, header, revision);
      if (this.#askedAgain.delete(stream)) this.ask(stream);
    }
  }

  #planCheck(): void {
    if (this.#planned) return;
    this.#planned = true;
    this.#clock.after(this.#pauseMs, () => {
      this.#planned = false;
      this.#pauseMs = Math.min(ASK_AGAIN_MAX_MS, this.#pauseMs * 1.5);
      this.#check();
    });
  }

  #check(): void {
    if (this.#unanswered !== null) {
      for (const stream of [...this.#unanswered]) {
        if (stream.ended || stream.size === 0) this.#unanswered.delete(stream);
        else stream.requestProgress();
      }
      this.#endIfDone();
    } else if (this.#someoneCanBeAnswered()) {
      this.#begin();
    }
    if (this.#unanswered !== null || this.#waiting.size > 0) this.#planCheck();
  }

  #someoneCanBeAnswered(): boolean {
    for (const stream of [...this.#waiting.keys()]) {
      // Without watches there is nothing to tell; etcd does not answer then.
      if (stream.watches.size === 0) this.forget(stream);
      else if (stream.upToDate) return true;
    }
    return false;
  }
}

/** Up to where everything is in the stream's queue, proven in `round` or later; null while that is not known. */
function provenRevision(stream: ClientStream, round: number): number | null {
  let revision = Number.POSITIVE_INFINITY;
  for (const subscriber of stream.watches.values()) {
    const { watch } = subscriber;
    if (watch === null || watch.provenRound < round) return null;
    watch.flush();
    if (subscriber.state !== "live" || subscriber.watch !== watch) return null;
    revision = Math.min(revision, Math.max(watch.saidRevision, watch.nextRevision - 1));
  }
  return Number.isFinite(revision) ? revision : null;
}
