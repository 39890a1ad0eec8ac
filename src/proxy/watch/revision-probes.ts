/**
 * What the revision is now, and whether a caller may watch a range: asked of a member once for all who wait.
 *
 * Whoever asks is answered by a read that was sent after that, and one at a time is under way for each token and
 * range: those who come meanwhile share the next, which does not wait for ever for one that a member has swallowed.
 * Without a token there is nothing to check but whether the member wants one, so there all ranges share.
 */
import type { Clock } from "../../base/clock.ts";
import { KeyRange } from "../../etcd/key-range.ts";
import { createRequest } from "../../etcd/watch-request.ts";
import { type AnswerHeader, readHeader, WatchResponseReader } from "../../etcd/watch-response.ts";
import { Code, codeName, type Status } from "../../grpc/status.ts";
import type { WatchCalls } from "./watch-calls.ts";

export type ProbeAnswer =
  /** `historyKnown` false: the start revision, or one asked for with it, is perhaps compacted. */
  | { readonly kind: "allowed"; readonly header: AnswerHeader; readonly historyKnown: boolean }
  /** In the words that etcd puts into `cancel_reason`. */
  | { readonly kind: "refused"; readonly reason: string; readonly header: AnswerHeader }
  /** No member could say. */
  | { readonly kind: "failed"; readonly status: Status };

type OnAnswer = (answer: ProbeAnswer) => void;

interface Asking {
  readonly startRevision: number;
  readonly onAnswer: OnAnswer;
}

interface Probe {
  readonly token: string;
  readonly range: KeyRange | null;
  waiting: Asking[];
  /** The read whose end the next one waits for; null before the first. */
  underWay: { readonly sentAtMs: number } | null;
  /** Calls off that the next one goes without it. */
  cancelHang: (() => void) | null;
}

/** Codes by which etcd refuses a caller, rather than failing. */
const REFUSALS: ReadonlySet<number> = new Set([
  Code.INVALID_ARGUMENT,
  Code.PERMISSION_DENIED,
  Code.UNAUTHENTICATED,
  Code.FAILED_PRECONDITION,
]);

/** A refused watch that has brought no header by then, in milliseconds, is asked for again, of the member in use then. */
const HEADER_WITHIN_MS = 10_000;

export class RevisionProbes {
  readonly #calls: WatchCalls;
  readonly #clock: Clock;
  readonly #hangMs: number;
  readonly #probes = new Map<string, Probe>();

  readonly #lastHeader: () => AnswerHeader | null;

  /**
   * `hangMs`: how long a read may keep the next one waiting, in milliseconds. `lastHeader`: the newest header that a
   * member has sent.
   */
  constructor(calls: WatchCalls, clock: Clock, hangMs: number, lastHeader: () => AnswerHeader | null) {
    this.#calls = calls;
    this.#clock = clock;
    this.#hangMs = hangMs;
    this.#lastHeader = lastHeader;
  }

  /**
   * Asks for `token`; `range` null: for the revision alone; `startRevision` 0: from now. Never answers before it
   * returns.
   */
  ask(token: string, range: KeyRange | null, startRevision: number, onAnswer: OnAnswer): void {
    const checked = token === "" ? null : range;
    const id = `${token}\n${checked?.id ?? ""}`;
    let probe = this.#probes.get(id);
    if (probe === undefined) {
      probe = { token, range: checked, waiting: [], underWay: null, cancelHang: null };
      this.#probes.set(id, probe);
      // Requests of one turn share.
      this.#clock.endOfTurn(() => this.#read(id, probe!));
    }
    probe.waiting.push({ startRevision, onAnswer });
    if (probe.underWay !== null && probe.cancelHang === null) this.#watch(id, probe, probe.underWay.sentAtMs);
  }

  /** Somebody waits for the read that was sent at `sentAtMs`: a member may never answer it. */
  #watch(id: string, probe: Probe, sentAtMs: number): void {
    const leftMs = sentAtMs + this.#hangMs - this.#clock.nowMs();
    probe.cancelHang = this.#clock.after(Math.max(0, leftMs), () => this.#read(id, probe));
  }

  #read(id: string, probe: Probe): void {
    const asking = probe.waiting;
    const read = { sentAtMs: this.#clock.nowMs() };
    probe.waiting = [];
    probe.underWay = read;
    probe.cancelHang = null;
    const answer = (said: ProbeAnswer): void => {
      for (const { onAnswer } of asking) onAnswer(said);
      if (probe.underWay !== read) return; // It has been overtaken.
      probe.cancelHang?.();
      if (probe.waiting.length > 0) this.#read(id, probe);
      else this.#probes.delete(id);
    };
    this.#readAt(probe, this.#checkedRevision(asking), answer);
  }

  /**
   * The revision to read at: if the oldest start revision is there, so are all. Not beyond the present, since a watch
   * of what is to come is no mistake.
   */
  #checkedRevision(asking: readonly Asking[]): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { startRevision } of asking) if (startRevision > 0) oldest = Math.min(oldest, startRevision);
    if (!Number.isFinite(oldest)) return 0;
    return Math.min(oldest, this.#lastHeader()?.revision ?? oldest);
  }

  #readAt(probe: Probe, revision: number, answer: OnAnswer, historyKnown = true): void {
    this.#calls.readRevision(probe.token, probe.range, revision, {
      onHeader: (bytes, start, end) => answer(allowed(bytes, start, end, historyKnown)),
      onFailed: (status) => {
        if (revision !== 0 && status.code === Code.OUT_OF_RANGE) {
          this.#readAt(probe, 0, answer, status.message === FUTURE_REVISION);
        } else if (!REFUSALS.has(status.code)) answer({ kind: "failed", status });
        else this.#withHeader(probe.token, cancelReason(status), answer);
      },
    });
  }

  /** A refusal comes without a header; if none is known yet, a refused watch brings one. */
  #withHeader(token: string, reason: string, answer: OnAnswer): void {
    const known = this.#lastHeader();
    if (known !== null) {
      answer({ kind: "refused", reason, header: known });
      return;
    }
    const reader = new WatchResponseReader();
    const call = this.#calls.open(token, false, {
      onResponse: (bytes, start, end) => {
        cancelLimit();
        call.cancel();
        answer(headerOf(reader, bytes, start, end, reason));
      },
      onEnd: (status) => {
        cancelLimit();
        answer({ kind: "failed", status });
      },
      onSuperseded() {},
    });
    const cancelLimit = this.#clock.after(HEADER_WITHIN_MS, () => {
      call.cancel();
      this.#withHeader(token, reason, answer);
    });
    call.send(ANY_WATCH);
  }
}

function headerOf(
  reader: WatchResponseReader,
  bytes: Uint8Array,
  start: number,
  end: number,
  reason: string,
): ProbeAnswer {
  try {
    reader.read(bytes, start, end);
    return { kind: "refused", reason, header: reader.header };
  } catch {
    return malformed();
  }
}

function allowed(bytes: Uint8Array, start: number, end: number, historyKnown: boolean): ProbeAnswer {
  try {
    return { kind: "allowed", header: readHeader(bytes, start, end), historyKnown };
  } catch {
    return malformed();
  }
}

/** The revision in the ResponseHeader `bytes[start, end)`; null when there is none that can be. */
export function revisionOfHeader(bytes: Uint8Array, start: number, end: number): number | null {
  try {
    const { revision } = readHeader(bytes, start, end);
    return Number.isSafeInteger(revision) && revision > 0 ? revision : null;
  } catch {
    return null;
  }
}

function malformed(): ProbeAnswer {
  const message = "etcdproxy: the member's answer has a malformed header";
  return { kind: "failed", status: { code: Code.INTERNAL, message } };
}

const FUTURE_REVISION = "etcdserver: mvcc: required revision is a future revision";

/** A status as etcd writes it into `cancel_reason`. */
export function cancelReason({ code, message }: Status): string {
  return `rpc error: code = ${codeName(code)} desc = ${message}`;
}

/** A create for a key of no interest, far in the future. */
const ANY_WATCH = createRequest({
  range: KeyRange.of(new Uint8Array(0), new Uint8Array(0))!,
  startRevision: Number.MAX_SAFE_INTEGER,
  prevKv: false,
  progressNotify: false,
  fragment: false,
});
