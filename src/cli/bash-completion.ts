/**
 * The completions for bash, which needs nothing of the package bash-completion.
 *
 * Bash breaks `--flag=value` into three words unless COMP_WORDBREAKS says otherwise; both come out the same here.
 */
import { commands, isProductName, PRODUCT_NAMES, productTables } from "./commands.ts";
import { completedFlags, completedValue } from "./completed-value.ts";

/** The script. */
export function bashCompletion(): string {
  const products = PRODUCT_NAMES.map((name) => productCase(name, productTables[name])).join("\n");
  const operands = commands
    .filter(({ name }) => !isProductName(name))
    .map(({ name, operands: words }) => `    ${name}) words='${words.join(" ")} --help' ;;`)
    .join("\n");
  return `# Completions of etcdproxy for bash.

_etcdproxy() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command=\${COMP_WORDS[1]} product=\${COMP_WORDS[1]} glued='' flag='' words='' kind=words joined=0
  COMPREPLY=()

  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W '${[...commands.map(({ name }) => name), "help", "--help", "--version"].join(" ")}' -- "$current")
    return
  fi
  if [[ $command == help ]]; then
    mapfile -t COMPREPLY < <(compgen -W '${commands.map(({ name }) => name).join(" ")}' -- "$current")
    return
  fi
  if [[ $command == check-config ]]; then
    ((COMP_CWORD == 2)) || product=\${COMP_WORDS[2]}
  fi

  # What stands behind which flag.
  if [[ $current == '=' ]]; then
    flag=$previous current='' joined=1
  elif [[ $previous == '=' ]]; then
    flag=\${COMP_WORDS[COMP_CWORD-2]} joined=1
  elif [[ $current == --*=* ]]; then
    flag=\${current%%=*} glued=\${current%%=*}= current=\${current#*=} joined=1
  elif [[ $previous == --* ]]; then
    flag=$previous
  fi

  case $product in
${products}
${operands}
  esac

  case $kind in
    files)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    folders)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
    words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
  COMPREPLY=("\${COMPREPLY[@]/#/$glued}")
}

complete -F _etcdproxy etcdproxy
`;
}

function productCase(name: string, table: (typeof productTables)[keyof typeof productTables]): string {
  const flags = completedFlags(table);
  const namesOf = (kind: string): string[] =>
    flags.filter((flag) => completedValue(flag).kind === kind).map((flag) => `--${flag.name}`);
  const cases = flags.flatMap((flag) => {
    const value = completedValue(flag);
    return value.kind === "words" ? [`        --${flag.name}) words='${value.words.join(" ")}' ;;`] : [];
  });
  for (const kind of ["files", "folders", "unknown"]) {
    const names = namesOf(kind);
    if (names.length > 0) cases.push(`        ${names.join(" | ")}) kind=${kind} ;;`);
  }
  const all = flags.map((flag) => `--${flag.name}`).join(" ");
  // A boolean takes no next word, only one behind an equals sign.
  return `    ${name})
      case $flag in
${cases.join("\n")}
        ${namesOf("boolean").join(" | ")})
          if ((joined)); then words='true false'; else words='start --help ${all}'; fi
          ;;
        *) words='start --help ${all}' ;;
      esac
      ;;`;
}
