/**
 * `etcdproxy man`: the man page, in the macros of man(7), made from the tables of commands and flags.
 *
 * Invariant: what comes out of a table is escaped, so that no word of it is taken for a request, a dash or an escape.
 */
import { commandNamed, commands, PRODUCT_NAMES, type ProductName, productTables } from "./commands.ts";
import type { FlagDefinition } from "./flag-definition.ts";
import { formatDefault, wordsOf } from "./flag-value.ts";
import { RESERVED_PREFIXES } from "./environment.ts";
import { buildDate, version } from "./version.ts";
import { VARIABLE_PREFIX } from "./value-origin.ts";

/** Of the page's source, by custom. */
const SOURCE_COLUMNS_MAX = 80;

/** The page. */
export function manPage(): string {
  const lines = [
    `.TH ETCDPROXY 1 ${buildDate} "etcdproxy ${version}" "User Commands"`,
    ".nh",
    ".SH NAME",
    String.raw`etcdproxy \- etcd's gateway and grpc\-proxy in one program`,
    ".SH SYNOPSIS",
    ...synopsis(),
    ".SH DESCRIPTION",
    "Two proxies for etcd.",
    `.B gateway\n${sentence("forwards TCP connections to one member of a cluster, and to another one when that fails.")}`,
    `.B grpc\\-proxy\n${sentence("understands etcd's API: clients share one connection to a member, reads, watches and leases.")}`,
    ".SH COMMANDS",
    ...commands.flatMap(({ name, usage, description }) => [
      ".TP",
      `.B ${escaped(name)} ${escaped(usage)}`.trimEnd(),
      sentence(description),
    ]),
    ...PRODUCT_NAMES.flatMap(flagSections),
    ".SH VALUES",
    ...paragraphs(
      "--name=value and --name value are the same; a boolean stands alone, or as --name=false.",
      "Durations read 1m30s, 500ms or 2h. Lists are comma-separated, or repeated.",
    ),
    ".SH ENVIRONMENT",
    ...paragraphs(
      `Each flag has a variable: ${VARIABLE_PREFIX}LISTEN_ADDR is for --listen-addr. An empty variable is an empty value.`,
      `A variable that begins with ${VARIABLE_PREFIX} and is that of no flag is refused, but for those that begin with ` +
        `${RESERVED_PREFIXES.join(" or ")}, and those that Kubernetes sets about its services.`,
    ),
    ".SH CONFIGURATION FILE",
    ...paragraphs(
      "--config-file names a YAML file whose keys are the names of flags, without dashes. Lists are sequences or " +
        "comma-separated text; durations are text; relative paths begin at the working folder. Keys below gateway: and " +
        "grpc-proxy: are for that product only, and go before those at the top. Unknown keys are refused, and so are keys " +
        "that are there twice, values of another type, aliases and tags.",
      "A flag on the command line goes before its variable, and that before the file, each flag for itself; a list replaces " +
        "that of a lower place. The file is read at the start only, not at SIGHUP.",
    ),
    ".PP",
    ".EX",
    ...EXAMPLE_FILE.map(escaped),
    ".EE",
    ".SH SIGNALS",
    ".TP",
    ".B SIGTERM, SIGINT",
    sentence("Stops: clients may finish within --drain-timeout. A second one ends the program at once."),
    ".TP",
    ".B SIGHUP",
    sentence("Reads certificates, keys, authorities and revocation lists anew."),
    ".SH EXIT STATUS",
    ".TP",
    ".B 0",
    sentence("It did what was asked, or was stopped by a signal."),
    ".TP",
    ".B 1",
    sentence(
      "The command line, environment, configuration or a file is wrong, or it cannot listen: one line tells.",
    ),
    ".SH EXAMPLES",
    ...commands
      .filter(({ examples }) => examples.length > 0)
      .flatMap(({ examples }, index) => [
        ...(index === 0 ? [] : [".PP"]),
        ".EX",
        ...examples.map(escaped),
        ".EE",
      ]),
    ".SH SEE ALSO",
    ".BR etcd (1),",
    ".BR etcdctl (1)",
  ];
  return `${lines.join("\n")}\n`;
}

const EXAMPLE_FILE = [
  "endpoints:",
  "  - infra0.example.com",
  "  - infra1.example.com",
  "drain-timeout: 10s",
  "gateway:",
  "  listen-addr: 127.0.0.1:2379",
  "grpc-proxy:",
  "  listen-addr: 127.0.0.1:23790",
];

function synopsis(): string[] {
  return commands.flatMap(({ name, usage }, index) => [
    ...(index === 0 ? [] : [".br"]),
    `.B etcdproxy ${escaped(name)}`,
    ...(usage === "" ? [] : [escaped(usage)]),
  ]);
}

/** The flags of a product, each group under its heading. */
function flagSections(name: ProductName): string[] {
  const flags = productTables[name].filter(({ since }) => since === "live");
  const groups = [...new Set(flags.map(({ group }) => group))];
  const { summary } = commandNamed(name);
  return [
    `.SH FLAGS OF ${escaped(name.toUpperCase())}`,
    sentence(`To ${summary}.`),
    ...groups.flatMap((group) => [
      `.SS ${escaped(group)}`,
      ...flags.filter((flag) => flag.group === group).flatMap(flagEntry),
    ]),
  ];
}

function flagEntry(flag: FlagDefinition): string[] {
  const value = "placeholder" in flag ? `=\\fI${escaped(flag.placeholder)}\\fR` : "";
  const words = wordsOf(flag) ?? [];
  const choice = words.every((word) => flag.description.includes(word)) ? "" : `; one of ${words.join(", ")}`;
  const preset = formatDefault(flag);
  const text = preset === undefined ? "" : ` (default: ${preset})`;
  return [
    ".TP",
    `\\fB\\-\\-${escaped(flag.name)}\\fR${value}`,
    sentence([flag.description, choice, text].join("")),
  ];
}

function paragraphs(...texts: readonly string[]): string[] {
  return texts.flatMap((text, index) => (index === 0 ? [sentence(text)] : [".PP", sentence(text)]));
}

/** Text with a new line for each sentence, by which the formatter knows where one ends. */
function sentence(text: string): string {
  return text
    .split(/(?<=[a-z)]\.) (?=[A-Z-])/)
    .flatMap(wrapped)
    .map(escaped)
    .join("\n");
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && escaped(`${line} ${word}`).length > SOURCE_COLUMNS_MAX) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** As text that means itself. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replaceAll(/^(?=[.'])/gm, String.raw`\&`);
}
