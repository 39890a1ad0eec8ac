/**
 * The values that a product is started with: those of the command line over those of the environment over those of
 * `--config-file` over the defaults, each flag for itself.
 * Stands between the command line, which was read already, and the start; reads the file, once.
 */
import type { ProductInvocation } from "./command-line.ts";
import { productTables } from "./commands.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { attributeOf, type FlagValue } from "./flag-definition.ts";
import { type GivenValue, type ValueOrigin, ValueOrigins } from "./value-origin.ts";
import type { ProductFlags } from "./worker-messages.ts";

export interface Settings {
  readonly serve: ProductFlags;
  readonly origins: ValueOrigins;
  /** Variables of the environment for flags that only the other product has. */
  readonly unusedVariables: readonly string[];
}

/**
 * All values of the product.
 *
 * @throws CommandLineError for whatever is wrong in the environment or the file, whether the command line goes before it or not
 */
export async function settle(invocation: ProductInvocation, environment: Environment): Promise<Settings> {
  const { command: product, given } = invocation;
  const flags: Readonly<Record<string, FlagValue>> = invocation.flags;
  const fromEnvironment = readEnvironment(product, environment);
  const pathFromEnvironment = fromEnvironment.values.get("config-file");
  const pathOrigin: ValueOrigin = { from: given.has("config-file") ? "flag" : "environment" };
  const path = String(
    given.has("config-file") ? flags["configFile"] : (pathFromEnvironment?.value ?? flags["configFile"]),
  );
  const fromFile = path === "" ? new Map<string, GivenValue>() : await readFile(product, path, pathOrigin);

  const values: Record<string, FlagValue> = {};
  const origins = new Map<string, ValueOrigin>();
  for (const flag of productTables[product]) {
    if (flag.since === "later") continue;
    const attribute = attributeOf(flag);
    const lower = given.has(flag.name)
      ? undefined
      : (fromEnvironment.values.get(flag.name) ?? fromFile.get(flag.name));
    values[attribute] = lower?.value ?? flags[attribute]!;
    if (given.has(flag.name)) origins.set(flag.name, { from: "flag" });
    else if (lower !== undefined) origins.set(flag.name, lower.origin);
  }
  return {
    serve: { product, flags: values } as unknown as ProductFlags,
    origins: new ValueOrigins(origins),
    unusedVariables: fromEnvironment.ofOthers,
  };
}

async function readFile(
  product: ProductInvocation["command"],
  path: string,
  origin: ValueOrigin,
): Promise<ReadonlyMap<string, GivenValue>> {
  // Loaded here, since most proxies have no such file.
  const { readConfigFile } = await import("./config-file.ts");
  return readConfigFile(product, path, origin);
}
