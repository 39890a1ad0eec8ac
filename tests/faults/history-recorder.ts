/**
 * Keeps what clients asked and were told, as histories that can be judged.
 *
 * A read that fails tells nothing, nor does a write that was never sent. Every other failed write may have taken
 * effect, or may yet. Only those failures are to be expected that come of members that die and of clients that give up.
 */
import * as grpc from "@grpc/grpc-js";
import type { Change } from "./change.ts";
import type { AskOptions, KvClient } from "./kv-client.ts";
import { isAnswered, type Operation } from "./linearizability/history.ts";
import { type KvRequest, onlyReads, valuesWritten } from "./linearizability/kv-operation.ts";

const EXPECTED_CODES: ReadonlySet<grpc.status> = new Set([
  grpc.status.CANCELLED,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.UNAVAILABLE,
]);
/** Etcd tells some deadlines of clients so, and some deaths of members' peers. */
const GO_CONTEXT_ENDED = /^context (deadline exceeded|canceled)$/;
/** So grpc-js says that there was no connection to send on. */
const NEVER_SENT = /^No connection established/;

export class HistoryRecorder {
  readonly operations: Operation[] = [];
  /** Failures that no fault explains. */
  readonly unexpected: string[] = [];
  /** What failed calls were told, and how often. */
  readonly failures = new Map<string, number>();
  #answered = 0;

  /** Operations that were answered. */
  get answered(): number {
    return this.#answered;
  }

  /** Asks `client`, and keeps the outcome. Resolves, whatever that is, to whether there was an answer. */
  async ask(name: string, target: string, client: KvClient, request: KvRequest, options: AskOptions) {
    const callMs = performance.now();
    const asked = { client: name, target, request, callMs };
    try {
      const { revision, answer } = await client.ask(request, options);
      const returnMs = performance.now();
      this.operations.push({ ...asked, returnMs, outcome: { kind: "answered", revision, answer } });
      this.#answered++;
      return true;
    } catch (error) {
      const { code, details } = error as grpc.ServiceError;
      const why = `${code} ${details}`;
      // Times and addresses would make each a failure of its own.
      const kind = why.replace(/ after \d.*$|\d+\.\d+\.\d+\.\d+:\d+/g, "");
      this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1);
      if (!EXPECTED_CODES.has(code) && !GO_CONTEXT_ENDED.test(details))
        this.unexpected.push(`${target}: ${String(error)}`);
      if (!onlyReads(request) && !NEVER_SENT.test(details)) {
        this.operations.push({
          ...asked,
          returnMs: Number.POSITIVE_INFINITY,
          outcome: { kind: "unknown", why },
        });
      }
      return false;
    }
  }
}

/**
 * The history with what etcd's own account tells of the operations whose outcome is not known: the revision of those
 * whose values are in it; the others, as far as they write values, never happened.
 *
 * @param changes all that happened; values are unique.
 */
export function resolveUnknown(history: readonly Operation[], changes: readonly Change[]): Operation[] {
  const revisions = new Map(changes.map((change) => [valueOf(change), change.revision]));
  return history.flatMap((operation): Operation[] => {
    const { request, outcome } = operation;
    if (isAnswered(operation) || outcome.kind !== "unknown") return [operation];
    const madeRevision = valuesWritten(request)
      .map((value) => revisions.get(value))
      .find((revision) => revision !== undefined);
    if (madeRevision !== undefined) return [{ ...operation, outcome: { ...outcome, madeRevision } }];
    return changesWithoutTrace(request) ? [operation] : [];
  });
}

/** Whether the request may change something without putting a value. */
function changesWithoutTrace(request: KvRequest): boolean {
  if (request.kind === "delete") return true;
  if (request.kind !== "txn") return false;
  return [request.success, request.failure].some(
    (list) => list.some(changesWithoutTrace) && !list.some(({ kind }) => kind === "put"),
  );
}

/** The value that a change put; deletions have none. */
function valueOf({ pair }: Change): string {
  return pair.slice(pair.indexOf(" ") + 1);
}
