/**
 * Etcd's store as it is documented, for a handful of keys: what one request after another is answered and leaves.
 *
 * States are values, never changed. Every request that changes something raises the revision by one, however many
 * keys it touches; the later requests of a transaction see what the earlier ones did.
 */
import { spans, type KeySpan } from "./key-span.ts";
import { type Compare, type KvAnswer, type KvRequest, type Pair, pairText } from "./kv-operation.ts";

export class KvState {
  readonly revision: number;
  readonly pairs: ReadonlyMap<string, Pair>;
  #id: string | undefined;

  /** @param revision a new cluster's is 1. */
  constructor(revision = 1, pairs: ReadonlyMap<string, Pair> = new Map()) {
    this.revision = revision;
    this.pairs = pairs;
  }

  /** Text that equal states, and no others, share. */
  get id(): string {
    this.#id ??= `${this.revision}: ${this.describe()}`;
    return this.#id;
  }

  /** The pairs of `span`, by key. */
  within(span: KeySpan): Pair[] {
    if (span.rangeEnd === undefined) {
      const pair = this.pairs.get(span.key);
      return pair === undefined ? [] : [pair];
    }
    return sortedByKey([...this.pairs.values()].filter(({ key }) => spans(span, key)));
  }

  describe(): string {
    return sortedByKey([...this.pairs.values()])
      .map((pair) => pairText(pair, "revisions"))
      .join(", ");
  }
}

/** What a request is answered in `state`, and the state after it: the same one when nothing changed. */
export function execute(state: KvState, request: KvRequest): { answer: KvAnswer; state: KvState } {
  const draft = new Draft(state);
  const answer = draft.run(request);
  return { answer, state: draft.state };
}

/** One request under way. */
class Draft {
  #state: KvState;
  readonly #revision: number;

  constructor(state: KvState) {
    this.#state = state;
    this.#revision = state.revision + 1;
  }

  get state(): KvState {
    return this.#state;
  }

  run(request: KvRequest): KvAnswer {
    switch (request.kind) {
      case "range": {
        const pairs = this.#state.within(request);
        return { kind: "range", pairs, count: pairs.length };
      }
      case "put": {
        const previous = this.#put(request.key, request.value);
        return { kind: "put", previous: request.prevKv === true ? previous : undefined };
      }
      case "delete": {
        const previous = this.#delete(request);
        return {
          kind: "delete",
          deleted: previous.length,
          previous: request.prevKv === true ? previous : [],
        };
      }
      case "txn": {
        const succeeded = request.compare.every((compare) => this.#holds(compare));
        const responses = (succeeded ? request.success : request.failure).map((each) => this.run(each));
        return { kind: "txn", succeeded, responses };
      }
    }
  }

  #put(key: string, value: string): Pair | undefined {
    const previous = this.#state.pairs.get(key);
    const pairs = new Map(this.#state.pairs);
    pairs.set(key, {
      key,
      value,
      createRevision: previous?.createRevision ?? this.#revision,
      modRevision: this.#revision,
      version: (previous?.version ?? 0) + 1,
    });
    this.#state = new KvState(this.#revision, pairs);
    return previous;
  }

  #delete(span: KeySpan): Pair[] {
    const previous = this.#state.within(span);
    if (previous.length === 0) return previous;
    const pairs = new Map(this.#state.pairs);
    for (const { key } of previous) pairs.delete(key);
    this.#state = new KvState(this.#revision, pairs);
    return previous;
  }

  /** A missing key has version and revisions 0; a condition on its value fails. */
  #holds({ key, target, relation, operand }: Compare): boolean {
    const pair = this.#state.pairs.get(key);
    if (target === "value") return pair !== undefined && related(pair.value, relation, operand);
    if (target === "version") return related(pair?.version ?? 0, relation, operand);
    return related((target === "mod" ? pair?.modRevision : pair?.createRevision) ?? 0, relation, operand);
  }
}

function related(left: number | string, relation: Compare["relation"], right: number | string): boolean {
  switch (relation) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case ">":
      return left > right;
  }
}

function sortedByKey(pairs: Pair[]): Pair[] {
  return pairs.sort((left, right) => (left.key < right.key ? -1 : 1));
}
