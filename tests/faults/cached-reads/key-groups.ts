/**
 * The keys of a run, by how they are written, and the ranges that reads and deletions ask for.
 *
 * "Cold" keys are seldom written, and then past the proxy: what a cache holds of them must grow old by itself. Some
 * keys end in bytes that have no successor, where a prefix ends elsewhere than one might think.
 */
import { EVERY_KEY, type KeySpan, withPrefix } from "../linearizability/key-span.ts";
import type { KvRequest } from "../linearizability/kv-operation.ts";
import type { SeededRandom } from "../seeded-random.ts";
import type { ReadRequest } from "./read-request.ts";

const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

export const WATCHED = withPrefix("c/");
const HOT = numbered("c/hot/", 3);
const WARM = numbered("c/warm/", 4);
const COLD = numbered("c/cold/", 4);
const LAST_BYTES = ["c\xff/", "c\xff\xff", "\xff\xff0", "\xff\xff\xff"];
const WRITTEN_OFTEN = [...HOT, ...HOT, ...WARM, ...LAST_BYTES];

const PREFIXES = ["c/", "c/hot/", "c/warm/", "c/cold/", "c\xff", "\xff\xff"].map(withPrefix);
/** Not those of the cold keys. */
const DELETED_PREFIXES = ["c/hot/", "c/warm/", "c\xff", "\xff\xff"].map(withPrefix);
const FROM_WARM: KeySpan = { key: "c/warm/2", rangeEnd: "\0" };

/** Few enough that the same read is asked again soon. */
export function randomRead(random: SeededRandom): ReadRequest {
  const kind = random.fraction();
  if (kind < 0.5) return { key: random.pick([...HOT, ...WARM, ...COLD, ...LAST_BYTES]) };
  const span = kind < 0.9 ? random.pick(PREFIXES) : random.pick([FROM_WARM, EVERY_KEY]);
  const variants: readonly Omit<ReadRequest, keyof KeySpan>[] = [
    {},
    {},
    { countOnly: true },
    { keysOnly: true },
    { limit: 2 },
    { descending: true, limit: 1 },
  ];
  return { ...span, ...random.pick(variants) };
}

export function randomKey(random: SeededRandom): string {
  return random.pick(WRITTEN_OFTEN);
}

export function randomColdKey(random: SeededRandom): string {
  return random.pick(COLD);
}

/** Writes as they go through the proxy. */
export function randomWrite(random: SeededRandom, value: string): KvRequest {
  const kind = random.fraction();
  const key = randomKey(random);
  if (kind < 0.6) return { kind: "put", key, value };
  if (kind < 0.7) return { kind: "delete", key };
  if (kind < 0.74) return { kind: "delete", ...random.pick(DELETED_PREFIXES) };
  if (kind < 0.75) return { kind: "delete", ...FROM_WARM };
  if (kind < 0.753) return { kind: "delete", ...random.pick([EVERY_KEY, WATCHED]) };
  const other = random.pick(WRITTEN_OFTEN.filter((candidate) => candidate !== key));
  const flat: KvRequest = {
    kind: "txn",
    compare: [{ key, target: "version", relation: random.pick([">", "="]), operand: 0 }],
    success: [{ kind: "put", key, value }],
    failure: [
      { kind: "delete", key },
      { kind: "put", key: other, value },
    ],
  };
  if (random.chance(0.5)) return flat;
  // The transaction within changes what its own list names.
  return { kind: "txn", compare: [], success: [flat, { kind: "range", key }], failure: [] };
}
