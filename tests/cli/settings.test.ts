/** Which value counts: the command line over the environment over the file over the default, each flag for itself. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseCommandLine, type ProductInvocation } from "../../src/cli/command-line.ts";
import { PRODUCT_NAMES, type ProductName, productTables } from "../../src/cli/commands.ts";
import { attributeOf, type FlagValue } from "../../src/cli/flag-definition.ts";
import { type Settings, settle } from "../../src/cli/settings.ts";
import { type ValueOrigin, variableOf } from "../../src/cli/value-origin.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { anyValue, asWord, asYaml } from "./config-text.ts";

/** Many files are written, on machines that may be busy. */
const DEADLINE_MS = 60_000;

let folder: TemporaryFolder;
let file: string;
beforeAll(() => {
  folder = new TemporaryFolder("settings");
  file = folder.file("proxy.yaml");
});
afterAll(() => folder[Symbol.dispose]());

async function settled(
  words: readonly string[],
  environment: Record<string, string> = {},
): Promise<Settings> {
  return settle(parseCommandLine(words) as ProductInvocation, environment);
}

function valuesOf({ serve }: Settings): Record<string, FlagValue> {
  return { ...serve.flags };
}

describe.each(PRODUCT_NAMES)("%s", (product: ProductName) => {
  // The flag that names the file has no third place.
  const flags = productTables[product].filter(
    ({ since, name }) => since === "live" && name !== "config-file",
  );

  test.each(flags.map(({ name }) => name))(
    "--%s counts where it stands highest",
    async (name) => {
      const flag = flags.find((candidate) => candidate.name === name)!;
      const value = fc.option(anyValue(flag), { nil: undefined });
      await fc.assert(
        fc.asyncProperty(value, value, value, value, async (onLine, inVariable, inSection, atTop) => {
          const lines = [
            ...(atTop === undefined ? [] : [`${name}: ${asYaml(flag, atTop)}`]),
            ...(inSection === undefined ? [] : [`${product}:`, `  ${name}: ${asYaml(flag, inSection)}`]),
          ];
          writeFileSync(file, lines.join("\n"));
          const settings = await settled(
            [
              product,
              `--config-file=${file}`,
              ...(onLine === undefined ? [] : [`--${name}=${asWord(flag, onLine)}`]),
            ],
            inVariable === undefined ? {} : { [variableOf(name)]: asWord(flag, inVariable) },
          );
          const [expected, origin] = ([
            [onLine, { from: "flag" }],
            [inVariable, { from: "environment" }],
            [inSection, { from: "file", path: file, line: lines.length }],
            [atTop, { from: "file", path: file, line: 1 }],
            [flag.default, { from: "default" }],
          ].find(([candidate]) => candidate !== undefined) ?? []) as [FlagValue, ValueOrigin];
          expect(valuesOf(settings)[attributeOf(flag)]).toEqual(expected);
          expect(settings.origins.of(name)).toEqual(origin);
        }),
        { numRuns: 25 },
      );
    },
    DEADLINE_MS,
  );

  test(
    "many flags at once are each judged for themselves",
    async () => {
      const places = fc.record({
        place: fc.constantFrom("line", "variable", "file", "none"),
        seed: fc.nat(),
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(places, { minLength: flags.length, maxLength: flags.length }),
          async (chosen) => {
            const words: string[] = [product, `--config-file=${file}`];
            const environment: Record<string, string> = {};
            const lines: string[] = [];
            const expected: Record<string, unknown> = { configFile: file };
            flags.forEach((flag, index) => {
              const { place, seed } = chosen[index]!;
              const [value] = fc.sample(anyValue(flag), { numRuns: 1, seed }) as [FlagValue];
              expected[attributeOf(flag)] = place === "none" ? flag.default : value;
              if (place === "line") words.push(`--${flag.name}=${asWord(flag, value)}`);
              else if (place === "variable") environment[variableOf(flag.name)] = asWord(flag, value);
              else if (place === "file") lines.push(`${flag.name}: ${asYaml(flag, value)}`);
            });
            writeFileSync(file, lines.join("\n"));
            expect(valuesOf(await settled(words, environment))).toEqual(
              expected as Record<string, FlagValue>,
            );
          },
        ),
        { numRuns: 30 },
      );
    },
    DEADLINE_MS,
  );
});

test("a list of a higher place replaces that of a lower one", async () => {
  writeFileSync(file, "endpoints: [a, b, c]");
  const words = ["gateway", `--config-file=${file}`];
  expect(valuesOf(await settled(words))["endpoints"]).toEqual(["a", "b", "c"]);
  const environment = { ETCDPROXY_ENDPOINTS: "d,e" };
  expect(valuesOf(await settled(words, environment))["endpoints"]).toEqual(["d", "e"]);
  expect(valuesOf(await settled([...words, "--endpoints=f"], environment))["endpoints"]).toEqual(["f"]);
});

test("the file is named by a flag, or a variable, and an empty flag means none", async () => {
  writeFileSync(file, "debug: true");
  const environment = { ETCDPROXY_CONFIG_FILE: file };
  expect(valuesOf(await settled(["gateway"], environment))).toMatchObject({ debug: true, configFile: file });
  const none = await settled(["gateway", "--config-file="], environment);
  expect(valuesOf(none)).toMatchObject({ debug: false, configFile: "" });
});

test("a value that equals the default hides those of lower places all the same", async () => {
  writeFileSync(file, "debug: true\nworkers: 4");
  const settings = await settled(["gateway", `--config-file=${file}`, "--debug=false"], {
    ETCDPROXY_WORKERS: "1",
  });
  expect(valuesOf(settings)).toMatchObject({ debug: false, workers: 1 });
});
