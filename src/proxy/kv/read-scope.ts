/**
 * Callers who may share answers: those whom etcd could not answer differently (architecture §4, "Identity").
 *
 * A scope is one credential, and one wish for a leader. It holds what is read in it now and the cached answers of it.
 */
import { credentialOf, requiresLeader } from "../../etcd/identity.ts";
import type { CallHead } from "../../grpc/call-head.ts";
import type { CachedReadTable } from "./cached-read.ts";
import type { Question, QuestionKind } from "./shared-read.ts";
import { ReadGroup } from "./shared-read-table.ts";

export class ReadScope {
  readonly #groups: Readonly<Record<QuestionKind, ReadGroup>> = {
    linearizable: new ReadGroup(),
    serializable: new ReadGroup(),
    others: new ReadGroup(),
  };
  readonly cached: CachedReadTable = new Map();
  /** Nobody finds it any more. */
  dropped = false;

  /** The question of that kind; `kept`: its answer may be kept. */
  question(kind: QuestionKind, text: string, kept: boolean): Question {
    return { kind, text, group: this.#groups[kind], cached: kept ? this.cached : null };
  }

  get empty(): boolean {
    const { linearizable, serializable, others } = this.#groups;
    return this.cached.size + linearizable.size + serializable.size + others.size === 0;
  }
}

export class ReadScopes {
  readonly #scopes = new Map<string, ReadScope>();
  /** The scope of header sections seen before, which clients repeat; null for callers who can share nothing. */
  readonly #ofHead = new WeakMap<CallHead, ReadScope | null>();

  get size(): number {
    return this.#scopes.size;
  }

  /** The scope of a call; null when it cannot share answers, since it may be compressed. */
  of(head: CallHead): ReadScope | null {
    const known = this.#ofHead.get(head);
    if (known !== undefined && known?.dropped !== true) return known;
    const scope = head.mayBeCompressed ? null : this.#find(`${requiresLeader(head)} ${credentialOf(head)}`);
    this.#ofHead.set(head, scope);
    return scope;
  }

  /** Drops the scopes that hold nothing. Returns how many are left. */
  tidy(): number {
    for (const [id, scope] of this.#scopes) {
      if (!scope.empty) continue;
      scope.dropped = true;
      this.#scopes.delete(id);
    }
    return this.#scopes.size;
  }

  #find(id: string): ReadScope {
    let scope = this.#scopes.get(id);
    if (scope === undefined) this.#scopes.set(id, (scope = new ReadScope()));
    return scope;
  }
}
