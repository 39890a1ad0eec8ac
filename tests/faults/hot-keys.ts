/**
 * What clients ask of a few keys that all of them use: reads more than anything else, of one key, of all, of several
 * in one transaction; puts, deletions, and transactions with every kind of condition.
 *
 * Every value is written once.
 */
import type { Compare, KvRequest } from "./linearizability/kv-operation.ts";
import { withPrefix } from "./linearizability/key-span.ts";
import type { SeededRandom } from "./seeded-random.ts";

const PREFIX = "hot/";
const KEYS = ["a", "b", "c", "d"].map((name) => `${PREFIX}${name}`);
const ALL_HOT = withPrefix(PREFIX);

/** What a client remembers of each key: enough for conditions that sometimes hold. */
export interface LastSeen {
  readonly value: string;
  readonly modRevision: number;
  readonly version: number;
}

export function randomRead(random: SeededRandom): KvRequest {
  const kind = random.fraction();
  // One key is hotter than the others.
  if (kind < 0.35) return { kind: "range", key: KEYS[0]! };
  if (kind < 0.65) return { kind: "range", key: random.pick(KEYS) };
  if (kind < 0.85) return { kind: "range", ...ALL_HOT };
  const [first, second] = random.shuffled(KEYS);
  const success = [first!, second!].map((key): KvRequest => ({ kind: "range", key }));
  return { kind: "txn", compare: [], success, failure: [] };
}

/** @param unique begins every value that the request writes. */
export function randomWrite(
  random: SeededRandom,
  unique: string,
  seen: ReadonlyMap<string, LastSeen>,
): KvRequest {
  const kind = random.fraction();
  const [key, other] = random.shuffled(KEYS) as [string, string];
  const prevKv = random.chance(0.3);
  if (kind < 0.45) return { kind: "put", key, value: unique, prevKv };
  if (kind < 0.53) return { kind: "delete", key, prevKv };
  if (kind < 0.56) return { kind: "delete", ...ALL_HOT, prevKv };
  const compare = Array.from({ length: 1 + random.below(2) }, (_, place) =>
    randomCompare(random, place === 0 ? key : other, seen),
  );
  const readAll: KvRequest = { kind: "range", ...ALL_HOT };
  const puts: KvRequest[] = [
    { kind: "put", key, value: `${unique}.1`, prevKv },
    { kind: "put", key: other, value: `${unique}.2` },
  ];
  const success: KvRequest[] = random.pick([
    puts.slice(0, 1),
    puts,
    [...puts, readAll],
    [readAll, ...puts.slice(0, 1), { kind: "delete", key: other, prevKv }],
    [{ kind: "delete", key, prevKv }, readAll],
  ]);
  const failure: KvRequest[] = random.pick([
    [],
    [readAll],
    [{ kind: "put", key, value: `${unique}.3` }],
    [
      { kind: "range", key },
      { kind: "range", key: other },
    ],
  ]);
  return { kind: "txn", compare: random.chance(0.2) ? [] : compare, success, failure };
}

function randomCompare(random: SeededRandom, key: string, seen: ReadonlyMap<string, LastSeen>): Compare {
  const last = seen.get(key);
  const relation = random.pick(["=", "=", "=", "!=", "<", ">"] as const);
  switch (random.below(4)) {
    case 0:
      return { key, target: "version", relation, operand: last?.version ?? 0 };
    case 1:
      return { key, target: "value", relation: random.pick(["=", "!="]), operand: last?.value ?? "" };
    case 2:
      return { key, target: "create", relation: random.pick(["=", ">"]), operand: 0 };
    default:
      return { key, target: "mod", relation, operand: last?.modRevision ?? 0 };
  }
}
