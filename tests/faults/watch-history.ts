/**
 * All that one watch of one client has been told, over all the streams that it lived on, and the judgement of it.
 *
 * The law (etcd's API guarantees for watches): every change of its range and filters from its start on, in order,
 * none twice, all of one revision together, `prev_kv` exactly when asked for; and no revision told as passed
 * (progress) before everything up to it was there.
 */
import type { WatchResponse } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { type Change, changeOf, describeChange } from "./change.ts";
import type { ClusterHistory } from "./cluster-history.ts";
import { concerns, type WatchPlan } from "./watch-plan.ts";

/** `revision` is always that of the response's header. */
export type WatchEntry =
  | { readonly kind: "created"; readonly revision: number }
  | {
      readonly kind: "events";
      readonly revision: number;
      readonly changes: readonly Change[];
      /** The next entry goes on with the same message. */
      readonly fragment: boolean;
    }
  | { readonly kind: "progress"; readonly revision: number }
  | {
      readonly kind: "canceled";
      readonly revision: number;
      readonly compactRevision: number;
      readonly reason: string;
    }
  /** The stream ended; what follows comes on another, from the next revision that the client had not seen. */
  | { readonly kind: "resumed" };

export class WatchHistory {
  readonly plan: WatchPlan;
  readonly entries: WatchEntry[] = [];
  /** The client has asked for its end, or has given it up: it need not be complete. */
  givenUp = false;
  /** All up to here was told; 0 before the creation is. */
  seenRevision = 0;
  /** The newest revision of which an event came; 0 before the first. */
  lastChange = 0;
  canceled: (WatchEntry & { readonly kind: "canceled" }) | undefined;

  constructor(plan: WatchPlan) {
    this.plan = plan;
  }

  /** The revision to ask for when the watch is opened on a new stream. */
  get nextStart(): number {
    const { startRevision = 0 } = this.plan;
    if (this.seenRevision === 0) return startRevision;
    return Math.max(startRevision, this.seenRevision + 1);
  }

  /** Whether the watch still expects to be told something. */
  get live(): boolean {
    return this.canceled === undefined && !this.givenUp;
  }

  /** Takes in a response to this watch. */
  take(response: WatchResponse): void {
    const revision = Number(response.header?.revision ?? 0);
    if (response.created) {
      this.entries.push({ kind: "created", revision });
      if ((this.plan.startRevision ?? 0) === 0 && this.seenRevision === 0) this.seenRevision = revision;
    }
    if (response.events.length > 0) {
      const changes = response.events.map(changeOf);
      this.entries.push({ kind: "events", revision, changes, fragment: response.fragment });
      this.lastChange = changes.at(-1)!.revision;
      if (!response.fragment) this.seenRevision = Math.max(this.seenRevision, this.lastChange);
    }
    if (response.canceled) {
      const { cancelReason: reason } = response;
      const compactRevision = Number(response.compactRevision);
      this.canceled = { kind: "canceled", revision, compactRevision, reason };
      this.entries.push(this.canceled);
    } else if (!response.created && response.events.length === 0) this.progress(revision);
  }

  /** All up to `revision` has been told, by the server's word. */
  progress(revision: number): void {
    this.entries.push({ kind: "progress", revision });
    this.seenRevision = Math.max(this.seenRevision, revision);
  }

  resumed(): void {
    this.entries.push({ kind: "resumed" });
  }
}

/** The entry at `index` and those that came before it, in short. */
function evidence({ entries }: WatchHistory, index: number): string {
  return ` (${entries
    .slice(Math.max(0, index - EVIDENCE_ENTRIES), index + 1)
    .map(shortly)
    .join(", ")})`;
}

function shortly(entry: WatchEntry): string {
  if (entry.kind === "resumed") return "another stream";
  if (entry.kind !== "events") return `${entry.kind} ${entry.revision}`;
  const [first, last] = [entry.changes[0]!, entry.changes.at(-1)!];
  const revisions = first.revision === last.revision ? first.revision : `${first.revision}-${last.revision}`;
  return `${entry.fragment ? "fragment" : "events"} ${revisions} under ${entry.revision}`;
}

const EVIDENCE_ENTRIES = 5;

/** What is wrong with a history; empty when nothing is. */
export function violationsOf(history: WatchHistory, truth: ClusterHistory): string[] {
  const reader = new HistoryReader(history, truth);
  for (const [index, entry] of history.entries.entries()) {
    const before = reader.violations.length;
    reader.read(entry);
    if (before === 0 && reader.violations.length > 0) reader.violations[0] += evidence(history, index);
  }
  reader.compare();
  return reader.violations;
}

/** Reads a history entry by entry, and at the end compares what was told with what happened. */
class HistoryReader {
  readonly violations: string[] = [];
  readonly #history: WatchHistory;
  readonly #plan: WatchPlan;
  readonly #truth: ClusterHistory;
  readonly #told: Change[] = [];
  /** The first revision that concerns the watch; 0 while it is not known. */
  #first: number;
  #unfinished: Change[] = [];
  #createdHere = false;
  /** The newest revision in a header of events on this stream: some clients resume behind that. */
  #header = 0;
  /** The newest progress on this stream, and on any. */
  #progressHere = 0;
  #progress = 0;
  #last = 0;
  #over = false;

  constructor(history: WatchHistory, truth: ClusterHistory) {
    this.#history = history;
    this.#plan = history.plan;
    this.#truth = truth;
    this.#first = history.plan.startRevision ?? 0;
  }

  read(entry: WatchEntry): void {
    if (this.#over) this.#wrong(`${entry.kind} after the watch was over`);
    switch (entry.kind) {
      case "resumed":
        this.#createdHere = false;
        this.#header = 0;
        this.#progressHere = 0;
        this.#unfinished = [];
        break;
      case "created":
        if (this.#createdHere) this.#wrong("created twice on one stream");
        this.#createdHere = true;
        if (this.#first === 0) this.#first = entry.revision + 1;
        this.#existing(entry.revision);
        break;
      case "events":
        if (!this.#createdHere) this.#wrong("events before created");
        this.#headerAt(entry.revision);
        this.#events(entry.changes, entry.fragment, entry.revision);
        break;
      case "progress":
        if (!this.#createdHere) this.#wrong("progress before created");
        if (this.#unfinished.length > 0) this.#wrong("progress between fragments");
        this.#existing(entry.revision);
        if (entry.revision < this.#progressHere) {
          this.#wrong(`progress ${entry.revision} after progress ${this.#progressHere}`);
        }
        this.#progressHere = entry.revision;
        this.#progress = Math.max(this.#progress, entry.revision);
        break;
      case "canceled":
        // Etcd's header has revision 0 here when the start is compacted.
        this.#over = true;
        this.#canceled(entry.compactRevision, entry.reason);
        break;
    }
  }

  #events(changes: readonly Change[], fragment: boolean, header: number): void {
    if (fragment && this.#plan.fragment !== true) this.#wrong("a fragment that was not asked for");
    this.#unfinished.push(...changes);
    if (fragment) return;
    const whole = this.#unfinished;
    this.#unfinished = [];
    const newest = whole.at(-1)!.revision;
    if (newest > header) this.#wrong(`events up to ${newest} under a header at ${header}`);
    const first = whole[0]!;
    if (first.revision === this.#last)
      this.#wrong(`revision ${this.#last} is split: ${describeChange(first)}`);
    for (const change of whole) {
      if (change.revision < this.#last) this.#wrong(`${describeChange(change)} after ${this.#last}`);
      if (change.revision <= this.#progress) {
        this.#wrong(`${describeChange(change)} after progress ${this.#progress}`);
      }
      if (this.#plan.prevKv !== true && change.previous !== undefined) {
        this.#wrong(`${describeChange(change)} with a prev_kv that was not asked for`);
      }
      this.#last = Math.max(this.#last, change.revision);
      this.#told.push(change);
    }
  }

  #canceled(compactRevision: number, reason: string): void {
    if (this.#history.givenUp) return;
    const next = Math.max(this.#first, this.#last + 1, this.#progress + 1);
    if (compactRevision === 0) this.#wrong(`canceled, reason ${JSON.stringify(reason)}`);
    else if (next >= compactRevision)
      this.#wrong(`canceled as compacted at ${compactRevision}, was at ${next}`);
    else if (compactRevision > this.#truth.compactRevision) {
      this.#wrong(`canceled as compacted at ${compactRevision}, beyond ${this.#truth.compactRevision}`);
    }
  }

  #headerAt(revision: number): void {
    if (revision < this.#header) this.#wrong(`a header at ${revision} after one at ${this.#header}`);
    this.#existing(revision);
    this.#header = revision;
  }

  #existing(revision: number): void {
    if (revision > this.#truth.lastRevision) this.#wrong(`a header at ${revision}, which there never was`);
  }

  /** Compares all that was told with all that was to be told. */
  compare(): void {
    if (this.#first === 0) {
      if (this.#history.live) this.#wrong("never created");
      return;
    }
    const upTo = this.#history.live ? this.#truth.lastRevision : Math.max(this.#last, this.#progress);
    const due = this.#truth.changes.filter(
      (change) => change.revision >= this.#first && change.revision <= upTo && concerns(this.#plan, change),
    );
    for (let index = 0; index < Math.max(due.length, this.#told.length); index++) {
      const [expected, told] = [due[index], this.#told[index]];
      if (expected === undefined) return this.#wrong(`${describeChange(told!)} is too much`);
      if (told === undefined) return this.#wrong(`${describeChange(expected)} and what follows is missing`);
      if (expected.revision !== told.revision || expected.key !== told.key || expected.type !== told.type) {
        return this.#wrong(`${describeChange(told)} in place of ${describeChange(expected)}`);
      }
      if (expected.pair !== told.pair) {
        this.#wrong(`${describeChange(told)} with ${told.pair}, it was ${expected.pair}`);
      }
      if (this.#plan.prevKv === true) this.#previous(expected, told);
    }
  }

  #previous(expected: Change, told: Change): void {
    if (told.previous === expected.previous) return;
    const compacted = told.previous === undefined && expected.revision - 1 < this.#truth.compactRevision;
    if (!compacted) {
      this.#wrong(`${describeChange(told)} with prev_kv ${told.previous}, it was ${expected.previous}`);
    }
  }

  #wrong(what: string): void {
    this.violations.push(`${JSON.stringify(this.#plan)}: ${what}`);
  }
}
