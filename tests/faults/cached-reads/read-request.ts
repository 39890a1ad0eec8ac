/**
 * A serializable read with all that it can ask for, and what it is to be answered from a state of the store.
 */
import { type KeySpan, describeSpan } from "../linearizability/key-span.ts";
import type { KeyAndPair } from "./past-states.ts";

export interface ReadRequest extends KeySpan {
  /** 0: the latest. */
  readonly revision?: number;
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly descending?: boolean;
}

export interface ReadAnswer {
  readonly pairs: readonly KeyAndPair[];
  readonly count: number;
  readonly more: boolean;
}

/** @param held all pairs of the request's span, by key. */
export function answerFrom(held: readonly KeyAndPair[], request: ReadRequest): ReadAnswer {
  const count = held.length;
  if (request.countOnly === true) return { pairs: [], count, more: false };
  const { limit = 0 } = request;
  const ordered = request.descending === true ? held.toReversed() : held;
  const shown = limit === 0 ? ordered : ordered.slice(0, limit);
  const pairs = request.keysOnly === true ? shown.map(withoutValue) : shown;
  return { pairs, count, more: pairs.length < count };
}

/** What a pair is by its key alone; etcd 3.7 leaves the lease out too. */
export function withoutValue({ key, pair }: KeyAndPair): KeyAndPair {
  const revisionsAndLease = pair.slice(0, pair.indexOf(" "));
  return { key, pair: revisionsAndLease.slice(0, revisionsAndLease.lastIndexOf("/")) };
}

export function readAnswerText({ pairs, count, more }: ReadAnswer): string {
  const listed = pairs.map(({ key, pair }) => `${JSON.stringify(key)}=${pair}`).join(", ");
  return `${count}[${listed}]${more ? " and more" : ""}`;
}

export function readRequestText(request: ReadRequest): string {
  const { key: _key, rangeEnd: _rangeEnd, ...rest } = request;
  const asked = Object.entries(rest).map(([name, value]) => `${name}=${String(value)}`);
  return [describeSpan(request), ...asked].join(" ");
}
