/**
 * The promises of a proxy that may answer serializable reads from a cache, held against what really happened:
 *
 * (a) a read shows every write that was acknowledged through the same proxy before the read began;
 * (b) it shows all that its member had told of more than `maxAgeMs` and `slackMs` before;
 * (c) it shows every event that a watch through the same proxy had brought before.
 *
 * "Shows" is meant strictly: the header's revision tells the state that an answer is of, and no key of the range may
 * have changed between that and what is promised. Whatever its age, an answer is exactly what the store held. A
 * member that lags is not the proxy's fault: a promise is held only to answers of a member that could keep it.
 */
import { describeChange } from "../change.ts";
import { type KeySpan, spans } from "../linearizability/key-span.ts";
import type { PastStates } from "./past-states.ts";
import {
  answerFrom,
  type ReadAnswer,
  readAnswerText,
  type ReadRequest,
  readRequestText,
  withoutValue,
} from "./read-request.ts";

export interface RecordedRead {
  readonly request: ReadRequest;
  readonly startMs: number;
  readonly endMs: number;
  /** The newest revision of which the watch had brought events when the read began; 0: none. */
  readonly watchedRevision: number;
  readonly outcome:
    | {
        readonly kind: "answered";
        /** Both of the header. */
        readonly revision: number;
        readonly memberId: string;
        readonly answer: ReadAnswer;
      }
    | { readonly kind: "compacted" };
}

/** A write that changed something, acknowledged through the proxy. */
export interface AcknowledgedWrite {
  readonly ackMs: number;
  readonly revision: number;
  readonly memberId: string;
  /** The revocation of a lease: its revision counts only if it is its own, for keys of that lease. */
  readonly leaseId?: string;
}

/** A compaction asked for through the proxy: all below `revision` is gone. */
export interface Compaction {
  readonly revision: number;
  readonly callMs: number;
  readonly ackMs: number;
}

/** A member has told, to a client that watches all of it, of all up to `revision`. */
export interface MemberWord {
  readonly atMs: number;
  readonly revision: number;
}

export interface Evidence {
  readonly states: PastStates;
  readonly writes: readonly AcknowledgedWrite[];
  readonly compactions: readonly Compaction[];
  /** By the member's id; oldest first. */
  readonly words: ReadonlyMap<string, readonly MemberWord[]>;
  /** What the watch through the proxy is told of, and the member that it is served by. */
  readonly watched: { readonly span: KeySpan; readonly memberId: string } | undefined;
  readonly maxAgeMs: number;
  readonly slackMs: number;
}

export class ReadJudge {
  readonly #evidence: Evidence;
  /** By acknowledgement; each with the newest revision among it and those before. */
  readonly #writes: readonly (AcknowledgedWrite & { readonly newest: number })[];

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    let newest = 0;
    this.#writes = evidence.writes
      .filter((write) => this.#isItsOwn(write))
      .toSorted((left, right) => left.ackMs - right.ackMs)
      .map((write) => {
        newest = Math.max(newest, write.revision);
        return { ...write, newest };
      });
  }

  /** What is wrong with the answer to a read; undefined when nothing is. */
  violation(read: RecordedRead): string | undefined {
    const what = read.outcome.kind === "compacted" ? this.#refused(read) : this.#answered(read);
    if (what === undefined) return undefined;
    const times = `${read.startMs.toFixed(1)}..${read.endMs.toFixed(1)}`;
    return `${times} read ${readRequestText(read.request)}: ${what}`;
  }

  #refused({ request, endMs }: RecordedRead): string | undefined {
    const { revision = 0 } = request;
    const asked = this.#evidence.compactions.some(
      (compaction) => revision !== 0 && compaction.revision > revision && compaction.callMs < endMs,
    );
    return asked ? undefined : "refused as compacted, which it is not";
  }

  #answered(read: RecordedRead): string | undefined {
    const { request, outcome, startMs } = read;
    if (outcome.kind !== "answered") return undefined;
    const { states, compactions } = this.#evidence;
    const { revision: fixed = 0 } = request;
    const shown = fixed === 0 ? outcome.revision : fixed;
    if (outcome.revision > states.lastRevision || outcome.revision < states.firstRevision) {
      return `a header at ${outcome.revision}, there is ${states.firstRevision} to ${states.lastRevision}`;
    }
    const due = readAnswerText(answerFrom(states.at(request, shown), request));
    const told = readAnswerText(comparable(outcome.answer, request));
    if (told !== due) return `it shows ${told}, at ${shown} there was ${due}`;
    if (fixed === 0) return this.#stale(read, outcome.revision, outcome.memberId);
    const gone = compactions.find(({ revision, ackMs }) => revision > fixed && ackMs < startMs);
    return gone === undefined ? undefined : `answered though compacted at ${gone.revision} through the proxy`;
  }

  #stale(read: RecordedRead, revision: number, memberId: string): string | undefined {
    return (
      this.#behindWrite(read, revision, memberId) ??
      this.#tooOld(read, revision, memberId) ??
      this.#behindWatch(read, revision, memberId)
    );
  }

  #behindWrite({ request, startMs }: RecordedRead, revision: number, memberId: string): string | undefined {
    for (let place = this.#acknowledgedBefore(startMs) - 1; place >= 0; place--) {
      const write = this.#writes[place]!;
      if (write.newest <= revision) return undefined;
      if (write.revision <= revision || write.memberId !== memberId) continue;
      const change = this.#evidence.states.of(write.revision).find(({ key }) => spans(request, key));
      if (change === undefined) continue;
      const agoMs = (startMs - write.ackMs).toFixed(1);
      return `it is of ${revision}; a ${describeChange(change)} was acknowledged ${agoMs} ms before, through the proxy`;
    }
    return undefined;
  }

  #tooOld({ request, startMs }: RecordedRead, revision: number, memberId: string): string | undefined {
    const { states, maxAgeMs, slackMs, words } = this.#evidence;
    const untilMs = startMs - maxAgeMs - slackMs;
    const word = words.get(memberId)?.findLast(({ atMs }) => atMs < untilMs);
    if (word === undefined) return undefined;
    const change = states.changeBetween([request], revision, word.revision);
    if (change === undefined) return undefined;
    const agoMs = (startMs - word.atMs).toFixed(1);
    return `it is of ${revision}; its member had told of a ${describeChange(change)} ${agoMs} ms before`;
  }

  #behindWatch(read: RecordedRead, revision: number, memberId: string): string | undefined {
    const { watched, states } = this.#evidence;
    if (watched === undefined || watched.memberId !== memberId) return undefined;
    const change = states.changeBetween([watched.span, read.request], revision, read.watchedRevision);
    if (change === undefined) return undefined;
    return `it is of ${revision}; a watch through the proxy had brought a ${describeChange(change)} before`;
  }

  /** How many writes had been acknowledged before `ms`. */
  #acknowledgedBefore(ms: number): number {
    let [from, to] = [0, this.#writes.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#writes[middle]!.ackMs < ms) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #isItsOwn({ leaseId, revision }: AcknowledgedWrite): boolean {
    if (leaseId === undefined) return true;
    const changes = this.#evidence.states.of(revision);
    return changes.every(({ type, previous }) => type === "delete" && leaseOf(previous) === leaseId);
  }
}

/** An answer that is to have keys alone without what etcds differ in; a value that it has all the same stays. */
function comparable(answer: ReadAnswer, request: ReadRequest): ReadAnswer {
  if (request.keysOnly !== true) return answer;
  return {
    ...answer,
    pairs: answer.pairs.map((each) => (each.pair.endsWith(" ") ? withoutValue(each) : each)),
  };
}

/** The lease that a pair was attached to. */
function leaseOf(pair = ""): string {
  return pair.split(" ", 1)[0]!.split("/")[3] ?? "";
}
