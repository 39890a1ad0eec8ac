/** The completions for zsh: a function for its completion system, which must have been started (compinit). */
import { commands, isProductName, PRODUCT_NAMES, productTables } from "./commands.ts";
import { completedFlags, completedValue } from "./completed-value.ts";
import type { FlagDefinition } from "./flag-definition.ts";

/** The script; to be evaluated, or kept as `_etcdproxy` in a folder of fpath. */
export function zshCompletion(): string {
  const described = [...commands, { name: "help", summary: "show help for a command" }]
    .map(({ name, summary }) => `    ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}`)
    .join("\n");
  const others = commands
    .filter(({ name }) => !isProductName(name) && name !== "check-config")
    .map(({ name, operands }) =>
      operands.length === 0
        ? `    ${name}) _arguments '--help[show help]' ;;`
        : `    ${name}) _arguments '--help[show help]' '1: :(${operands.join(" ")})' ;;`,
    )
    .join("\n");
  return `#compdef etcdproxy
# Completions of etcdproxy for zsh.

_etcdproxy_commands() {
  local -a names=(
${described}
  )
  _describe command names
}

${PRODUCT_NAMES.map((name) => productFunction(name, productTables[name])).join("\n\n")}

_etcdproxy() {
  local curcontext=$curcontext state line
  _arguments -C '(- *)--help[show help]' '(- *)--version[print the version]' '1: :_etcdproxy_commands' '*:: :->rest'
  [[ $state == rest ]] || return
  case $line[1] in
${PRODUCT_NAMES.map((name) => `    ${name}) _etcdproxy_${name} ;;`).join("\n")}
    check-config)
      _arguments -C '--help[show help]' '1: :(${PRODUCT_NAMES.join(" ")})' '*:: :->product'
      [[ $state == product ]] || return
      case $line[1] in
${PRODUCT_NAMES.map((name) => `        ${name}) _etcdproxy_${name} ;;`).join("\n")}
      esac
      ;;
    help) _arguments '1: :_etcdproxy_commands' ;;
${others}
  esac
}

if [[ $funcstack[1] == _etcdproxy ]]; then
  _etcdproxy "$@"
else
  compdef _etcdproxy etcdproxy
fi
`;
}

function productFunction(name: string, table: readonly FlagDefinition[]): string {
  const specifications = ["--help[show help]", ...completedFlags(table).map(specification)];
  return `_etcdproxy_${name}() {
  _arguments \\
${specifications.map((text) => `    ${quoted(text)} \\`).join("\n")}
    '1: :(start)'
}`;
}

/** A flag in the notation of `_arguments`; \`=\` lets its value follow in the same word or in the next. */
function specification(flag: FlagDefinition): string {
  const repeated = flag.kind === "list" ? "*" : "";
  const described = `[${escaped(flag.description)}]`;
  const value = completedValue(flag);
  if (value.kind === "boolean") return `--${flag.name}=-${described}::value:(true false)`;
  const placeholder = "placeholder" in flag ? escaped(flag.placeholder) : "value";
  const action = {
    words: () => `(${"words" in value ? value.words.join(" ") : ""})`,
    files: () => "_files",
    folders: () => "_files -/",
    unknown: () => "",
  }[value.kind]();
  return `${repeated}--${flag.name}=${described}:${placeholder}:${action}`;
}

function escaped(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, String.raw`\$&`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
