/**
 * Where the value of a flag comes from: the command line, the environment, the configuration file, or the table.
 * Stands between the places that values are read from and the errors about them, which are told in the words of the place.
 *
 * Invariant: an error about a value that the operator wrote into a file or a variable names the file and line, or the variable.
 */
import { CommandLineError } from "./command-line-error.ts";
import type { FlagValue } from "./flag-definition.ts";

export type ValueOrigin =
  | { readonly from: "default" | "flag" }
  | { readonly from: "environment" }
  /** `path` as the operator wrote it; lines count from 1. */
  | { readonly from: "file"; readonly path: string; readonly line: number };

/** A value, and where it stands. */
export interface GivenValue {
  readonly value: FlagValue;
  readonly origin: ValueOrigin;
}

/** What the names of our variables begin with. */
export const VARIABLE_PREFIX = "ETCDPROXY_";

/** The environment variable for a flag: `listen-addr` is `ETCDPROXY_LISTEN_ADDR`. */
export function variableOf(flagName: string): string {
  return VARIABLE_PREFIX + flagName.toUpperCase().replaceAll("-", "_");
}

/** How an error begins that is about the value: `--listen-addr`, `ETCDPROXY_LISTEN_ADDR` or `proxy.yaml:3: listen-addr`. */
export function namedByOrigin(flagName: string, origin: ValueOrigin): string {
  switch (origin.from) {
    case "default":
    case "flag":
      return `--${flagName}`;
    case "environment":
      return variableOf(flagName);
    case "file":
      return `${origin.path}:${origin.line}: ${flagName}`;
  }
}

/** Where it comes from, beside its name: `default`, `--listen-addr`, `ETCDPROXY_LISTEN_ADDR` or `proxy.yaml:3`. */
export function shownOrigin(flagName: string, origin: ValueOrigin): string {
  if (origin.from === "default") return "default";
  return origin.from === "file" ? `${origin.path}:${origin.line}` : namedByOrigin(flagName, origin);
}

/** A flag in an error's text, with its value where that is glued to it. What is in double quotes is the operator's word, and stays as it is. */
const QUOTED_OR_FLAG =
  /"(?:[^"\\]|\\.)*"|(?<=^etcdproxy: |[\s(])--([a-z][a-z-]*[a-z])(=[^\s;,)]*[^\s;,):])?(?=$|[\s:;,=)])/g;
/** Where the flag stands that an error is about. */
const SUBJECT_AT = "etcdproxy: ".length;

/** Where the value of each flag comes from. Those that are not there have their defaults. */
export class ValueOrigins {
  readonly #origins: ReadonlyMap<string, ValueOrigin>;

  constructor(origins: ReadonlyMap<string, ValueOrigin>) {
    this.#origins = origins;
  }

  of(flagName: string): ValueOrigin {
    return this.#origins.get(flagName) ?? { from: "default" };
  }

  /** The same error, which names each flag by where its value stands; flags without a value stay flags. */
  explain(error: CommandLineError): CommandLineError {
    return new CommandLineError(
      error.line.replaceAll(
        QUOTED_OR_FLAG,
        (text, flagName: string | undefined, value: string | undefined, at: number) => {
          const origin = flagName === undefined ? undefined : this.#origins.get(flagName);
          if (flagName === undefined || origin === undefined) return text;
          if (at === SUBJECT_AT || origin.from !== "file")
            return namedByOrigin(flagName, origin) + (value ?? "");
          return `${flagName}${value ?? ""} (${origin.path}:${origin.line})`;
        },
      ),
    );
  }
}
