/**
 * What a flag is: its name, kind, default, place in the help and state, as one entry of a product's table.
 * Stands between the tables (gateway-flags.ts, grpc-proxy-flags.ts) and everything made from them: parsing, help and
 * the typed values, which TypeScript infers from the table itself.
 *
 * Invariant: a table holds every flag of etcd's product of the same name, plus our own; a flag is either live, or known and refused.
 */

/** Heading of the help under which a flag stands. */
export type FlagGroup =
  | "Listening"
  | "Endpoints"
  | "Discovery"
  | "Connections to members"
  | "Registration"
  | "Keys and reads"
  | "Watches and leases"
  | "Limits"
  | "Process"
  | "Keepalive of clients"
  | "TLS towards members"
  | "TLS towards clients"
  | "Users"
  | "Monitoring"
  | "Logging";

interface FlagEntry {
  /** Without the leading dashes: `listen-addr`. */
  readonly name: string;
  readonly group: FlagGroup;
  readonly description: string;
  /** `later`: the flag is known and listed, and refused as not supported yet when it is given. */
  readonly since: "live" | "later";
}

interface ValuedFlagEntry extends FlagEntry {
  /** What stands for the value in the help, without angle brackets. */
  readonly placeholder: string;
}

/** One flag of a product. The kind decides how its value is read. */
export type FlagDefinition =
  /** Any text, the empty one too; where there are `values`, one of them. */
  | (ValuedFlagEntry & {
      readonly kind: "text";
      readonly default: string;
      readonly values?: readonly string[];
    })
  /** Comma-separated and repeatable; the first one given replaces the default. */
  | (ValuedFlagEntry & { readonly kind: "list"; readonly default: readonly string[] })
  /** `--name`, `--name=true`, `--name=false`. */
  | (FlagEntry & { readonly kind: "boolean"; readonly default: boolean })
  /** Go's notation (`1m30s`); default and `min` (0 when absent) in milliseconds. */
  | (ValuedFlagEntry & { readonly kind: "duration"; readonly default: number; readonly min?: number })
  /** A plain decimal number from `min` to `max`. */
  | (ValuedFlagEntry & {
      readonly kind: "integer";
      readonly default: number;
      readonly min: number;
      readonly max: number;
    });

interface ValueOfKind {
  readonly text: string;
  readonly list: readonly string[];
  readonly boolean: boolean;
  readonly duration: number;
  readonly integer: number;
}

/** A value of any kind. */
export type FlagValue = ValueOfKind[FlagDefinition["kind"]];

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

type AttributeOf<Flag extends FlagDefinition> = Flag["kind"] extends "duration"
  ? `${CamelCase<Flag["name"]>}Ms`
  : CamelCase<Flag["name"]>;

type ValueOf<Flag extends FlagDefinition> = Flag extends { readonly values: readonly (infer Word)[] }
  ? Word
  : ValueOfKind[Flag["kind"]];

/** The values of a table's live flags: `--listen-addr` is `listenAddr`, the duration `--retry-delay` is `retryDelayMs`. */
export type FlagValues<Table extends readonly FlagDefinition[]> = {
  readonly [Flag in Extract<Table[number], { since: "live" }> as AttributeOf<Flag>]: ValueOf<Flag>;
};

/** The property of {@link FlagValues} that holds this flag's value. */
export function attributeOf(flag: FlagDefinition): string {
  const camelCase = flag.name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return flag.kind === "duration" ? `${camelCase}Ms` : camelCase;
}
