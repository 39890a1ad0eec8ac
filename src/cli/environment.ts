/**
 * Values of flags in the environment: `ETCDPROXY_LISTEN_ADDR` for `--listen-addr`.
 * Stands between the process's variables and the values of a product.
 *
 * Invariant: a variable that begins with ETCDPROXY_ is a flag of a product, or of those that others set, or refused by name.
 */
import { PRODUCT_NAMES, type ProductName, productTables } from "./commands.ts";
import { CommandLineError, quoted, usageError } from "./command-line-error.ts";
import { parseFlagValue } from "./flag-value.ts";
import { suggestName } from "./suggestion.ts";
import { type GivenValue, VARIABLE_PREFIX, variableOf } from "./value-origin.ts";

/** Variables by their names, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Set by test runs and scripts, never by operators. No flag may begin so. */
export const RESERVED_PREFIXES = ["ETCDPROXY_TEST_", "ETCDPROXY_FUZZ_"] as const;

/** What Kubernetes sets in each pod about a Service whose name begins with `etcdproxy`. No flag may end so. */
const OF_KUBERNETES =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
/** The same, where the value has to tell. */
const PORT_OF_KUBERNETES = { name: /_PORT$/, value: /^(?:tcp|udp|sctp):\/\// };

export interface EnvironmentValues {
  /** By the flag's name. */
  readonly values: ReadonlyMap<string, GivenValue>;
  /** Variables for flags that only the other product has. */
  readonly ofOthers: readonly string[];
}

/**
 * The values that the environment has for flags of `product`. An empty variable is an empty value, as behind `--flag=`.
 *
 * @throws CommandLineError for a variable that nobody knows, and a value that the flag does not take
 */
export function readEnvironment(product: ProductName, environment: Environment): EnvironmentValues {
  const own = new Map(productTables[product].map((flag) => [variableOf(flag.name), flag]));
  const known = new Set(
    PRODUCT_NAMES.flatMap((name) => productTables[name].map((flag) => variableOf(flag.name))),
  );
  const values = new Map<string, GivenValue>();
  const ofOthers: string[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (text === undefined || !variable.startsWith(VARIABLE_PREFIX) || isOfOthers(variable, text)) continue;
    if (!known.has(variable)) throw unknownVariable(variable, known);
    const flag = own.get(variable);
    if (flag === undefined) ofOthers.push(variable);
    else if (flag.since === "later") throw new CommandLineError(`not supported yet: ${variable}`);
    else {
      const value = parseFlagValue(flag, text, [], variable);
      values.set(flag.name, { value, origin: { from: "environment" } });
    }
  }
  return { values, ofOthers };
}

/** Whether a variable is none of ours, though it begins like one. */
export function isOfOthers(variable: string, text: string): boolean {
  return (
    RESERVED_PREFIXES.some((prefix) => variable.startsWith(prefix)) ||
    OF_KUBERNETES.test(variable) ||
    (PORT_OF_KUBERNETES.name.test(variable) && PORT_OF_KUBERNETES.value.test(text))
  );
}

function unknownVariable(variable: string, known: ReadonlySet<string>): CommandLineError {
  const names = [...known].map((name) =>
    name.slice(VARIABLE_PREFIX.length).toLowerCase().replaceAll("_", "-"),
  );
  const suggestion = suggestName(variable.slice(VARIABLE_PREFIX.length), names);
  const advice =
    suggestion === undefined
      ? "variables are named after flags, see etcdproxy <command> --help"
      : `did you mean ${variableOf(suggestion)}?`;
  const shown = /^\w+$/.test(variable) ? variable : quoted(variable);
  return usageError(`unknown environment variable ${shown}: ${advice}`);
}
