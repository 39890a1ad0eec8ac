/**
 * Field names the encoder knows: those of the static table, and those with an indexing rule of their own.
 *
 * `never`: credentials. On the upstream connection the tokens of all clients would share one compression
 * context, where a client that can observe sizes could test guesses of another's token against the
 * table; the literal also tells every later hop not to index it (RFC 7541 §7.1, §7.1.3).
 * `name`: the value differs on every call, so keeping it would only push useful fields out of the table.
 * `field`: all others, as values of gRPC metadata mostly repeat.
 */

import { STATIC_TABLE } from "./static-table.ts";

export type IndexingRule = "field" | "name" | "never";

export interface KnownName {
  readonly name: string;
  readonly rule: IndexingRule;
  /** Index of the name's first field in the static table; 0 when it has none. */
  readonly staticIndex: number;
  /** Values of the name's static fields, from staticIndex on, when they say something. */
  readonly staticValues: readonly string[];
}

const CREDENTIAL_NAMES = ["authorization", "proxy-authorization", "cookie", "set-cookie", "token"];

const PER_CALL_NAMES = [
  "grpc-timeout",
  "content-length",
  "date",
  "traceparent",
  "tracestate",
  "grpc-trace-bin",
  "grpc-tags-bin",
  "x-request-id",
];

/** Names without a rule that gRPC puts into every call: known so that all connections share one string. */
const GRPC_NAMES = [
  "te",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-status",
  "grpc-message",
  "grpc-status-details-bin",
  "hasleader",
];

function buildKnownNames(): Map<string, KnownName> {
  const known = new Map<string, KnownName>();
  for (let index = 1; index < STATIC_TABLE.length; index++) {
    const { name } = STATIC_TABLE[index]!;
    if (known.has(name)) continue;
    const values = STATIC_TABLE.filter((field) => field.name === name).map((field) => field.value);
    known.set(name, { name, rule: "field", staticIndex: index, staticValues: values });
  }
  const setRule = (name: string, rule: IndexingRule): void => {
    const { staticIndex, staticValues } = known.get(name) ?? { staticIndex: 0, staticValues: [] };
    known.set(name, { name, rule, staticIndex, staticValues });
  };
  for (const name of GRPC_NAMES) setRule(name, "field");
  for (const name of PER_CALL_NAMES) setRule(name, "name");
  for (const name of CREDENTIAL_NAMES) setRule(name, "never");
  return known;
}

/** The known names by their text. */
export const KNOWN_NAMES: ReadonlyMap<string, KnownName> = buildKnownNames();
