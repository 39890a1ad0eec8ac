/**
 * What a member's answer to a progress request proves, by how the member answers.
 *
 * Newer members (3.4.25, 3.5.8) answer behind the events, when every watch of the stream has had all there is; if
 * not, they do not answer. Their answers overtake nothing but creates: an answer that was given before a watch was
 * opened can arrive behind its `created`, and says nothing of that watch. Older members answer at once, beside the
 * events, and whatever the watches have had: of them only time and repetition make a proof.
 */
import type { AnswerHeader, WatchResponseReader } from "../../etcd/watch-response.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";

/** Everything up to the header's revision has come on `watches`. */
export interface ProvenProgress {
  readonly header: AnswerHeader;
  readonly watches: readonly UpstreamWatch[];
  /** The member was asked after the last call for a fresh answer. */
  readonly fresh: boolean;
}

export interface ProgressAnswers {
  /** Requests sent so far. */
  readonly requests: number;
  /** Somebody wants to know; `fresh`: what it is from now on. `send` sends a request. */
  request(send: () => void, fresh: boolean): void;
  /** A watch is open; `requestsBefore` requests had been sent when it was asked for. */
  onCreated(watch: UpstreamWatch, startRevision: number, revision: number, requestsBefore: number): void;
  /** The member has told something of `watch`, which may be gone. */
  onWatchTold(watch: UpstreamWatch | undefined, response: WatchResponseReader): void;
  /** An answer has come while `live` watches were open. Returns what is proven, null for nothing yet. */
  onAnswer(header: AnswerHeader, live: readonly UpstreamWatch[], send: () => void): ProvenProgress | null;
}

/** A watch that was opened in the past: an answer that was given before says nothing of it. */
interface Doubt {
  /** The member's revision when it opened the watch: answers above it are later. */
  readonly revision: number;
  /** How many answers may still come that were given before. */
  earlierAnswers: number;
}

/** Requests that were never answered make answers seem stale that are not; so many more are sent at most. */
const REQUESTS_AT_ONCE_MAX = 32;

/** Answers behind the events. */
export class OrderedAnswers implements ProgressAnswers {
  requests = 0;
  /** Requests whose answer has come or will not come any more, at least. */
  #resolved = 0;
  readonly #doubts = new WeakMap<UpstreamWatch, Doubt>();
  /** Answers that may come to requests from before a fresh one was wanted. */
  #staleAnswers = 0;
  /** An answer has come since a request was sent: a member that is silent is not asked more than once at a time. */
  #answeredSince = true;
  /** Once something above `revision` comes through, the first `requests` requests are resolved. */
  #mark = { revision: Number.POSITIVE_INFINITY, requests: 0 };

  request(send: () => void, fresh: boolean): void {
    if (fresh) this.#staleAnswers = this.requests - this.#resolved;
    const more = this.#answeredSince ? Math.min(this.#staleAnswers, REQUESTS_AT_ONCE_MAX) : 0;
    const count = 1 + more;
    this.#answeredSince = false;
    this.requests += count;
    for (let i = 0; i < count; i++) send();
  }

  onCreated(watch: UpstreamWatch, startRevision: number, revision: number, requestsBefore: number): void {
    this.#mark = { revision, requests: requestsBefore };
    const earlierAnswers = Math.max(0, requestsBefore - this.#resolved);
    if (startRevision !== 0 && earlierAnswers > 0) this.#doubts.set(watch, { revision, earlierAnswers });
    else this.#doubts.delete(watch);
  }

  onWatchTold(_watch: UpstreamWatch | undefined, { events }: WatchResponseReader): void {
    this.#sawRevision(events.at(-1)?.revision ?? 0);
  }

  onAnswer(header: AnswerHeader, live: readonly UpstreamWatch[]): ProvenProgress {
    this.#sawRevision(header.revision);
    this.#resolved = Math.min(this.requests, this.#resolved + 1);
    this.#answeredSince = true;
    const fresh = this.#staleAnswers === 0;
    if (!fresh) this.#staleAnswers--;
    const proven = live.filter((watch) => !this.#isDoubtful(watch, header.revision));
    return { header, watches: proven, fresh };
  }

  #sawRevision(revision: number): void {
    if (revision <= this.#mark.revision || this.#resolved >= this.#mark.requests) return;
    this.#staleAnswers = Math.max(0, this.#staleAnswers - (this.#mark.requests - this.#resolved));
    this.#resolved = this.#mark.requests;
  }

  #isDoubtful(watch: UpstreamWatch, revision: number): boolean {
    const doubt = this.#doubts.get(watch);
    if (doubt === undefined) return false;
    if (revision <= doubt.revision && doubt.earlierAnswers > 0) {
      doubt.earlierAnswers--;
      return true;
    }
    this.#doubts.delete(watch);
    return false;
  }
}

/**
 * Answers in a row without an older event between them: the member chooses between answers and events that wait at
 * random, so all of them overtake an event once in 16 million times.
 */
const ANSWERS_IN_A_ROW = 24;
/** Longer than a member takes to serve a watch that is behind: it does so ten times a second. */
const SETTLE_MS = 250;

/** A watch that was opened in the past and shows nothing of the present for so long has nothing to show. */
const BEHIND_MS = 2000;

interface Timer {
  nowMs(): number;
  after(delayMs: number, run: () => void): () => void;
}

/** Answers beside the events. */
export class UnorderedAnswers implements ProgressAnswers {
  requests = 0;
  readonly #timer: Timer;
  #state: "idle" | "asked" | "settling" | "counting" = "idle";
  /** What the first answer said: it is to be proven. */
  #header: AnswerHeader | null = null;
  #openThen: ReadonlySet<UpstreamWatch> = new Set();
  #inARow = 0;
  #outstanding = 0;
  /** A fresh answer was wanted after this one was asked for. */
  #wantedAnew = false;
  /** Something older has come since the member was last given time. */
  #disturbed = false;
  /** Watches opened in the past, by the revision above which they have shown nothing yet, and since when. */
  readonly #behind = new WeakMap<UpstreamWatch, { revision: number; sinceMs: number }>();

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  request(send: () => void, fresh: boolean): void {
    if (this.#state !== "idle") {
      if (fresh) this.#wantedAnew = true;
      return;
    }
    this.#state = "asked";
    this.#wantedAnew = false;
    this.#outstanding = 1;
    this.requests++;
    send();
  }

  onCreated(watch: UpstreamWatch, startRevision: number, revision: number): void {
    if (startRevision === 0) this.#behind.delete(watch);
    else this.#behind.set(watch, { revision, sinceMs: this.#timer.nowMs() });
  }

  onWatchTold(watch: UpstreamWatch | undefined, { events }: WatchResponseReader): void {
    const first = events[0];
    if (first === undefined || watch === undefined) return;
    if (events.at(-1)!.revision > (this.#behind.get(watch)?.revision ?? 0)) this.#behind.delete(watch);
    if (this.#header !== null && first.revision <= this.#header.revision) this.#disturbed = true;
  }

  onAnswer(header: AnswerHeader, live: readonly UpstreamWatch[], send: () => void): ProvenProgress | null {
    this.#outstanding--;
    if (this.#state === "asked") {
      this.#header = header;
      this.#openThen = new Set(live);
      this.#settle(send);
      return null;
    }
    if (this.#state !== "counting" || this.#header === null) return null;
    this.#inARow++;
    if (this.#outstanding > 0) return null;
    if (this.#disturbed || this.#inARow < ANSWERS_IN_A_ROW) {
      this.#settle(send);
      return null;
    }
    this.#state = "idle";
    const proven = {
      header: this.#header,
      watches: live.filter((watch) => this.#openThen.has(watch) && !this.#isBehind(watch)),
      fresh: !this.#wantedAnew,
    };
    if (this.#wantedAnew) this.request(send, false);
    return proven;
  }

  #isBehind(watch: UpstreamWatch): boolean {
    const behind = this.#behind.get(watch);
    return behind !== undefined && this.#timer.nowMs() - behind.sinceMs < BEHIND_MS;
  }

  /** Gives the member time to tell what it has, then asks many times. */
  #settle(send: () => void): void {
    this.#state = "settling";
    this.#disturbed = false;
    this.#timer.after(SETTLE_MS, () => {
      if (this.#disturbed) this.#settle(send);
      else this.#count(send);
    });
  }

  #count(send: () => void): void {
    this.#state = "counting";
    this.#inARow = 0;
    this.#outstanding = ANSWERS_IN_A_ROW;
    this.requests += ANSWERS_IN_A_ROW;
    for (let i = 0; i < ANSWERS_IN_A_ROW; i++) send();
  }
}
