/**
 * Values for any flag, and how an operator writes them in each place. The property tests of precedence and of the report
 * of check-config go over all flags with them.
 */
import fc from "fast-check";
import type { FlagDefinition, FlagValue } from "../../src/cli/flag-definition.ts";
import { formatFlagValue } from "../../src/cli/flag-value.ts";

/** Text without what would end a line, a list or an argument. */
const word = fc.string({ minLength: 1, maxLength: 12 }).map((text) => text.replaceAll(/[\0,\r\n\s]/g, "x"));

/** A value that the flag takes. */
export function anyValue(flag: FlagDefinition): fc.Arbitrary<FlagValue> {
  switch (flag.kind) {
    case "text":
      return flag.values === undefined ? word : fc.constantFrom(...flag.values);
    case "list":
      return fc.array(word, { minLength: 1, maxLength: 3 });
    case "boolean":
      return fc.boolean();
    case "duration":
      return fc.integer({ min: flag.min ?? 0, max: 100_000_000 });
    case "integer":
      return fc.integer({ min: flag.min, max: Math.min(flag.max, Number.MAX_SAFE_INTEGER) });
  }
}

/** As a word of the command line or a variable has it. */
export function asWord(flag: FlagDefinition, value: FlagValue): string {
  return formatFlagValue(flag, value);
}

/** As a value in YAML. */
export function asYaml(flag: FlagDefinition, value: FlagValue): string {
  if (Array.isArray(value)) return JSON.stringify(value);
  return flag.kind === "text" ? JSON.stringify(value) : formatFlagValue(flag, value);
}
