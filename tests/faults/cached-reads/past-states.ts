/**
 * What the store held at each revision, from etcd's own account of all changes since it was empty.
 */
import type { Change } from "../change.ts";
import { type KeySpan, spans } from "../linearizability/key-span.ts";

/** A key and what there is to its pair, as `pairOf` tells it. */
export interface KeyAndPair {
  readonly key: string;
  readonly pair: string;
}

export class PastStates {
  readonly #changes: readonly Change[];
  /** The changes of each key, oldest first. */
  readonly #byKey: ReadonlyMap<string, readonly Change[]>;
  readonly firstRevision: number;
  readonly lastRevision: number;

  /** @param changes all since `emptyRevision`, at which the store held nothing; oldest first. */
  constructor(emptyRevision: number, changes: readonly Change[]) {
    this.#changes = changes;
    this.firstRevision = emptyRevision;
    this.lastRevision = changes.at(-1)?.revision ?? emptyRevision;
    const byKey = new Map<string, Change[]>();
    for (const change of changes) {
      const known = byKey.get(change.key);
      if (known === undefined) byKey.set(change.key, [change]);
      else known.push(change);
    }
    this.#byKey = new Map([...byKey].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  /** The pairs of `span` at `revision`, by key. */
  at(span: KeySpan, revision: number): KeyAndPair[] {
    const held: KeyAndPair[] = [];
    for (const [key, changes] of this.#byKey) {
      if (!spans(span, key)) continue;
      const last = changes[firstAfter(changes, revision) - 1];
      if (last?.type === "put") held.push({ key, pair: last.pair });
    }
    return held;
  }

  /** The changes of one revision. */
  of(revision: number): Change[] {
    return this.#changes.slice(firstAfter(this.#changes, revision - 1), firstAfter(this.#changes, revision));
  }

  /** The first change of a key that lies in all of `within`, after one revision, up to and with another. */
  changeBetween(within: readonly KeySpan[], after: number, upTo: number): Change | undefined {
    for (let place = firstAfter(this.#changes, after); place < this.#changes.length; place++) {
      const change = this.#changes[place]!;
      if (change.revision > upTo) return undefined;
      if (within.every((span) => spans(span, change.key))) return change;
    }
    return undefined;
  }
}

/** The place of the first change after `revision`. */
function firstAfter(changes: readonly Change[], revision: number): number {
  let [from, to] = [0, changes.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (changes[middle]!.revision > revision) to = middle;
    else from = middle + 1;
  }
  return from;
}
