/** The completions for fish. */
import { commands, isProductName, productTables } from "./commands.ts";
import { completedFlags, completedValue } from "./completed-value.ts";
import type { FlagDefinition } from "./flag-definition.ts";

/** The script. */
export function fishCompletion(): string {
  const lines = [
    "# Completions of etcdproxy for fish.",
    "",
    "# Prints the product whose flags may follow, or the command; nothing while that is still to be chosen.",
    "function __etcdproxy_command",
    "    set -l words (commandline -opc)",
    "    set -q words[2]; or return",
    "    if test $words[2] = check-config; and set -q words[3]",
    "        echo $words[3]",
    "    else",
    "        echo $words[2]",
    "    end",
    "end",
    "",
    "function __etcdproxy_is",
    '    test "$(__etcdproxy_command)" = "$argv[1]"',
    "end",
    "",
    "complete -c etcdproxy -f",
    "",
    ...commands.map(({ name, summary }) => line("", `-a ${name} -d ${quoted(summary)}`)),
    line("", `-a help -d ${quoted("show help for a command")}`),
    line("", "-l version -d 'print the version'"),
    line("help", `-a ${quoted(commands.map(({ name }) => name).join(" "))}`),
    "complete -c etcdproxy -l help -s h -d 'show help'",
  ];
  for (const { name, operands } of commands) {
    if (operands.length > 0) lines.push(line(name, `-a ${quoted(operands.join(" "))}`));
    if (!isProductName(name)) continue;
    lines.push("", ...completedFlags(productTables[name]).map((flag) => line(name, flagOptions(flag))));
  }
  return `${lines.join("\n")}\n`;
}

/** A completion behind this command; behind none, for the empty one. */
function line(command: string, options: string): string {
  return `complete -c etcdproxy -n '__etcdproxy_is "${command}"' ${options}`;
}

function flagOptions(flag: FlagDefinition): string {
  const value = completedValue(flag);
  const named = `-l ${flag.name} -d ${quoted(flag.description)}`;
  switch (value.kind) {
    case "boolean":
      return named;
    case "words":
      return `${named} -x -a ${quoted(value.words.join(" "))}`;
    case "files":
      return `${named} -r -F`;
    case "folders":
      return `${named} -x -a '(__fish_complete_directories)'`;
    case "unknown":
      return `${named} -x`;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
