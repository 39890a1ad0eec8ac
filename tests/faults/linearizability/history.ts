/**
 * What clients did and what they were told, with the times between which each operation must have taken effect.
 *
 * An operation whose end is not known may have taken effect at any time after its call, or never; it has no end.
 * Operations that certainly had no effect, and reads that failed, are not in a history: they tell nothing.
 */
import type { KvAnswer, KvRequest } from "./kv-operation.ts";

export interface Operation {
  /** Who asked: a name for a failure. */
  readonly client: string;
  /** What was asked: a member or a proxy. */
  readonly target: string;
  readonly request: KvRequest;
  readonly callMs: number;
  /** Infinity when the outcome is not known. */
  readonly returnMs: number;
  readonly outcome: Outcome;
}

export type Outcome =
  /** `revision` is that of the header. */
  | { readonly kind: "answered"; readonly revision: number; readonly answer: KvAnswer }
  /** The error that it ended with, whatever the server made of it. */
  | {
      readonly kind: "unknown";
      readonly why: string;
      /** The revision that it made after all, when the store's own account tells. */
      readonly madeRevision?: number;
    };

export type Answered = Operation & { readonly outcome: Outcome & { readonly kind: "answered" } };

export function isAnswered(operation: Operation): operation is Answered {
  return operation.outcome.kind === "answered";
}
