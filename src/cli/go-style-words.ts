/**
 * The words after a command, in the way etcd's commands read them (Go's pflag): `--name=value` and `--name value` are the
 * same, a boolean never takes the next word (`--debug start`), flags and operands come in any order, `--` ends the flags.
 * Stands between the operator's words and commander, which reads optional values differently.
 *
 * Invariant: what comes out is known to the table and unambiguous: each flag as `--name=value`, then the operands.
 */
import { CommandLineError, quoted, usageError } from "./command-line-error.ts";
import type { FlagDefinition } from "./flag-definition.ts";
import { suggestName } from "./suggestion.ts";

/** The words of one command, told apart. */
export interface CommandWords {
  /** `--name=value` each, in the order they were given; `--help` alone when help is asked for. */
  readonly flags: readonly string[];
  /** Words that are no flags, such as `start`. */
  readonly operands: readonly string[];
}

/**
 * Tells flags from operands.
 *
 * @param command the command's name, for error lines
 * @throws CommandLineError for an unknown flag, a missing value, and a flag whose feature comes later
 */
export function readGoStyleWords(
  command: string,
  table: readonly FlagDefinition[],
  words: readonly string[],
): CommandWords {
  const flags: string[] = [];
  const operands: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      operands.push(...words.slice(index + 1));
      break;
    }
    if (word === "--help" || word === "-h") return { flags: ["--help"], operands };
    if (!word.startsWith("-") || word === "-") {
      operands.push(word);
      continue;
    }

    const equals = word.indexOf("=");
    const written = equals < 0 ? word : word.slice(0, equals);
    const flag = table.find(({ name }) => written === `--${name}`);
    if (flag === undefined) throw unknownFlag(command, table, written);
    if (flag.since === "later") throw new CommandLineError(`not supported yet: --${flag.name}`);

    if (equals >= 0) {
      flags.push(word);
    } else if (flag.kind === "boolean") {
      flags.push(`${word}=true`);
    } else {
      index++;
      const value = words[index];
      if (value === undefined) {
        throw usageError(
          `--${flag.name} of "${command}" needs a value: --${flag.name}=<${flag.placeholder}>`,
        );
      }
      flags.push(`${word}=${value}`);
    }
  }
  return { flags, operands };
}

function unknownFlag(command: string, table: readonly FlagDefinition[], written: string): CommandLineError {
  const names = table.map(({ name }) => name);
  const suggestion = suggestName(written.replace(/^-+/, ""), names);
  const advice =
    suggestion === undefined ? `see etcdproxy ${command} --help` : `did you mean --${suggestion}?`;
  const shown = /^[\w.-]+$/.test(written) ? written : quoted(written);
  return usageError(`unknown flag ${shown} of "${command}": ${advice}`);
}
