/**
 * What a client can ask of the store and what it can be answered, in a form that is cheap to keep and to compare.
 *
 * Revisions are numbers here, keys and values Latin-1 text. An answer's text is the whole of what it tells: two
 * answers are the same when their texts are.
 */
import { describeSpan, type KeySpan } from "./key-span.ts";

export interface Pair {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** A condition of a transaction; the operand of "value" is a text, of the others a number. */
export interface Compare {
  readonly key: string;
  readonly target: "version" | "create" | "mod" | "value";
  readonly relation: "=" | "!=" | "<" | ">";
  readonly operand: number | string;
}

export type KvRequest =
  | ({ readonly kind: "range" } & KeySpan)
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly prevKv?: boolean }
  | ({ readonly kind: "delete"; readonly prevKv?: boolean } & KeySpan)
  | {
      readonly kind: "txn";
      readonly compare: readonly Compare[];
      readonly success: readonly KvRequest[];
      readonly failure: readonly KvRequest[];
    };

export type KvAnswer =
  | { readonly kind: "range"; readonly pairs: readonly Pair[]; readonly count: number }
  | { readonly kind: "put"; readonly previous?: Pair | undefined }
  | { readonly kind: "delete"; readonly deleted: number; readonly previous: readonly Pair[] }
  | { readonly kind: "txn"; readonly succeeded: boolean; readonly responses: readonly KvAnswer[] };

/** Whether the answer tells that the store was changed. */
export function tellsChange(answer: KvAnswer): boolean {
  switch (answer.kind) {
    case "range":
      return false;
    case "put":
      return true;
    case "delete":
      return answer.deleted > 0;
    case "txn":
      return answer.responses.some(tellsChange);
  }
}

/** Whether the request can change nothing, whatever the store holds. */
export function onlyReads(request: KvRequest): boolean {
  if (request.kind === "txn") return [...request.success, ...request.failure].every(onlyReads);
  return request.kind === "range";
}

/** All pairs that an answer shows, those before a change too. */
export function pairsShown(answer: KvAnswer): readonly Pair[] {
  switch (answer.kind) {
    case "range":
      return answer.pairs;
    case "put":
      return answer.previous === undefined ? [] : [answer.previous];
    case "delete":
      return answer.previous;
    case "txn":
      return answer.responses.flatMap(pairsShown);
  }
}

/** All values that a request may write. */
export function valuesWritten(request: KvRequest): readonly string[] {
  if (request.kind === "put") return [request.value];
  if (request.kind === "txn") return [...request.success, ...request.failure].flatMap(valuesWritten);
  return [];
}

/** How much an answer's text tells of each pair: all of it, or key and value alone. */
export type Detail = "revisions" | "values";

export function answerText(answer: KvAnswer, detail: Detail): string {
  switch (answer.kind) {
    case "range":
      return `${answer.count}[${pairsText(answer.pairs, detail)}]`;
    case "put":
      return answer.previous === undefined ? "put" : `put over ${pairText(answer.previous, detail)}`;
    case "delete":
      return `deleted ${answer.deleted}[${pairsText(answer.previous, detail)}]`;
    case "txn": {
      const responses = answer.responses.map((response) => answerText(response, detail));
      return `${answer.succeeded ? "succeeded" : "failed"}{${responses.join("; ")}}`;
    }
  }
}

function pairsText(pairs: readonly Pair[], detail: Detail): string {
  return pairs.map((pair) => pairText(pair, detail)).join(", ");
}

export function pairText(pair: Pair, detail: Detail): string {
  const text = `${pair.key}=${pair.value}`;
  if (detail === "values") return text;
  return `${text}@${pair.createRevision}/${pair.modRevision}/${pair.version}`;
}

/** For a failure: the request on one line. */
export function requestText(request: KvRequest): string {
  switch (request.kind) {
    case "range":
      return `range ${describeSpan(request)}`;
    case "put":
      return `put ${describeSpan(request)}=${request.value}${request.prevKv === true ? " prev_kv" : ""}`;
    case "delete":
      return `delete ${describeSpan(request)}${request.prevKv === true ? " prev_kv" : ""}`;
    case "txn": {
      const conditions = request.compare.map(
        ({ key, target, relation, operand }) => `${target}(${key})${relation}${operand}`,
      );
      const list = (requests: readonly KvRequest[]): string => requests.map(requestText).join("; ");
      const otherwise = request.failure.length === 0 ? "" : ` else {${list(request.failure)}}`;
      return `txn if ${conditions.join(" and ") || "true"} {${list(request.success)}}${otherwise}`;
    }
  }
}
