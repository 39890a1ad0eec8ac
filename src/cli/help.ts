/**
 * The help texts: what commander prints from the flag tables, with groups, defaults, examples, and the list of flags that
 * are known but not supported yet.
 * Stands between the tables and the terminal; 80 to 100 columns wide.
 */
import { type Command, type Help, Option } from "commander";
import { attributeOf, type FlagDefinition } from "./flag-definition.ts";
import { formatDefault, parseFlagValue } from "./flag-value.ts";

const columnsMin = 80;
const columnsMax = 100;

/** The width that help is wrapped to, for a terminal of so many columns (undefined: no terminal). */
export function helpColumns(terminalColumns: number | undefined): number {
  return Math.min(Math.max(terminalColumns ?? columnsMax, columnsMin), columnsMax);
}

/** A live flag as commander's option: parses its value, and shows its default in its group of the help. */
export class FlagOption extends Option {
  /** The property of the typed values. */
  readonly attribute: string;

  constructor(flag: FlagDefinition) {
    const placeholder = flag.kind === "boolean" ? "bool" : flag.placeholder;
    super(`--${flag.name} <${placeholder}>`, flag.description);
    this.attribute = attributeOf(flag);
    this.default(flag.default, formatDefault(flag));
    this.helpGroup(`${flag.group}:`);
    let listed: string[] | undefined;
    this.argParser((text: string) => {
      const value = parseFlagValue(flag, text, listed);
      if (Array.isArray(value)) listed = value;
      return value;
    });
  }

  override attributeName(): string {
    return this.attribute;
  }
}

/** What differs from commander's own help: booleans without a value, and no default where there is none to tell. */
export const helpStyle: Partial<Help> = {
  minWidthToWrap: 20,
  optionTerm: (option) => option.flags.replace(" <bool>", ""),
  subcommandTerm: (command) => (command.name() === "help" ? "help [command]" : command.name()),
  optionDescription: (option) =>
    option.defaultValueDescription === undefined
      ? option.description
      : `${option.description} (default: ${option.defaultValueDescription})`,
};

/** Adds the flags that are refused, the notation of values, and examples below a command's flags. */
export function addHelpSections(
  command: Command,
  table: readonly FlagDefinition[],
  examples: readonly string[],
  columns: number,
): void {
  const later = table.filter(({ since }) => since === "later").map(({ name }) => `--${name}`);
  const sections: string[] = [];
  if (later.length > 0) {
    sections.push(
      "Not supported yet (known, and refused when given):",
      ...wrapWords(later, columns, "  "),
      "",
    );
  }
  sections.push(
    "Values:",
    "  --name=value and --name value are the same; --name=false is for booleans.",
    "  Durations read 1m30s, 500ms or 2h. Lists are comma-separated, or repeated.",
    "",
    "Examples:",
    ...examples.map((example) => `  ${example}`),
  );
  command.addHelpText("after", `\n${sections.join("\n")}`);
}

function wrapWords(words: readonly string[], columns: number, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of words) {
    if (line !== indent && line.length + word.length + 1 > columns) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  lines.push(line);
  return lines;
}
