/**
 * The command line as a whole: which command, with which typed values, or which help.
 * Stands between the operator's words and run.ts; does nothing but read, so every outcome can be tested as a value.
 *
 * Invariant: words either become exactly one invocation, or throw a CommandLineError with the one line that says why.
 */
import { Command, CommanderError } from "commander";
import {
  commandNamed,
  commands,
  isProductName,
  PRODUCT_NAMES,
  PROGRAM_DESCRIPTION,
  type ProductName,
  productTables,
  type Shell,
  SHELLS,
} from "./commands.ts";
import { type CommandLineError, quoted, usageError } from "./command-line-error.ts";
import { attributeOf } from "./flag-definition.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import { readGoStyleWords } from "./go-style-words.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import { addHelpSections, FlagOption, helpColumns, helpStyle } from "./help.ts";
import { suggestName } from "./suggestion.ts";

/** A product, and the values of its flags as far as the command line tells them. */
export type ProductInvocation =
  | { readonly command: "gateway"; readonly flags: GatewayFlags; readonly given: ReadonlySet<string> }
  | { readonly command: "grpc-proxy"; readonly flags: GrpcProxyFlags; readonly given: ReadonlySet<string> };

/** What the operator asked for. `given` names the flags that the command line has, the others have their defaults. */
export type Invocation =
  | ProductInvocation
  | { readonly command: "check-config"; readonly product: ProductInvocation }
  | { readonly command: "completion"; readonly shell: Shell }
  | { readonly command: "man" }
  | { readonly command: "version" }
  /** `asked` is false when no command was given: the help then goes to stderr, and the exit status is 1. */
  | { readonly command: "help"; readonly text: string; readonly asked: boolean };

const commandNames = [...commands.map(({ name }) => name), "help"];

/**
 * Reads the words after the program's name.
 *
 * @param terminalColumns width of the terminal that help would go to, undefined when it is none
 * @throws CommandLineError
 */
export function parseCommandLine(words: readonly string[], terminalColumns?: number): Invocation {
  const [first, second] = words;
  if (first === "check-config" && isProductName(second)) {
    const product = parseCommandLine(words.slice(1), terminalColumns);
    // Else it is help.
    return "given" in product ? { command: "check-config", product } : product;
  }
  const reading: { result?: Invocation; helpText: string } = { helpText: "" };
  const program = buildProgram(helpColumns(terminalColumns), {
    invoke: (invocation) => {
      reading.result = invocation;
    },
    print: (text) => {
      reading.helpText += text;
    },
  });
  try {
    program.parse(toCommanderWords(words), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (!error.code.startsWith("commander.help")) throw usageError(error.message.replace(/^error: /, ""));
    return { command: "help", text: reading.helpText, asked: error.exitCode === 0 };
  }
  if (reading.result === undefined) throw usageError("no command ran: see etcdproxy --help");
  return reading.result;
}

/** Checks the command's name and flags, and returns words that commander cannot misread. */
function toCommanderWords(words: readonly string[]): string[] {
  const [first, ...rest] = words;
  if (first === undefined || first === "--help" || first === "-h")
    return first === undefined ? [] : ["--help"];
  if (first === "help") {
    const topic = rest[0];
    if (topic !== undefined && !commandNames.includes(topic)) throw unknownCommand(topic);
    return topic === undefined || topic === "help" ? ["--help"] : [topic, "--help"];
  }
  const name = first === "--version" ? "version" : first;
  if (!commands.some((command) => command.name === name)) throw unknownCommand(first);
  const table = isProductName(name) ? productTables[name] : [];
  if (name === "check-config" && rest[0] !== "--help" && rest[0] !== "-h") throw noProduct(rest[0]);
  const { flags, operands } = readGoStyleWords(name, table, rest);
  return [name, ...flags, "--", ...operands];
}

function unknownCommand(word: string): CommandLineError {
  if (word.startsWith("-")) {
    const flag = word.replace(/=.*$/s, "");
    return usageError(
      `flag ${quoted(flag)} stands before the command: write gateway or grpc-proxy first, then its flags`,
    );
  }
  const suggestion = suggestName(word, commandNames);
  const advice = suggestion === undefined ? `use ${commandNames.join(", ")}` : `did you mean ${suggestion}?`;
  return usageError(`unknown command ${quoted(word)}: ${advice}`);
}

function noProduct(word: string | undefined): CommandLineError {
  const found = word === undefined || word.startsWith("-") ? "" : `, not ${quoted(word)}`;
  return usageError(
    `check-config takes a product first, then its flags: ${PRODUCT_NAMES.join(" or ")}${found}`,
  );
}

interface Outcome {
  readonly invoke: (invocation: Invocation) => void;
  readonly print: (text: string) => void;
}

function buildProgram(columns: number, outcome: Outcome): Command {
  const program = new Command("etcdproxy")
    .description(PROGRAM_DESCRIPTION)
    .usage("<command> [flags]")
    .helpOption("-h, --help", "show help; etcdproxy <command> --help lists its flags")
    .helpCommand("help [command]", "show help for a command")
    .configureHelp(helpStyle)
    .configureOutput({
      writeOut: outcome.print,
      writeErr: outcome.print,
      outputError: () => undefined,
      getOutHelpWidth: () => columns,
      getErrHelpWidth: () => columns,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride();

  for (const name of PRODUCT_NAMES) addProduct(program, name, columns, outcome);
  addCommand(program, "check-config", ([word]) => {
    throw noProduct(word); // With a product it is not commander's to read.
  });
  addCommand(program, "completion", (operands) => {
    outcome.invoke({ command: "completion", shell: shellOf(operands) });
  });
  for (const command of ["man", "version"] as const) {
    addCommand(program, command, (operands) => {
      if (operands.length > 0)
        throw usageError(`unexpected argument ${quoted(operands[0]!)} of "${command}", which takes none`);
      outcome.invoke({ command });
    });
  }
  return program;
}

function addProduct(program: Command, name: ProductName, columns: number, outcome: Outcome): void {
  const table = productTables[name];
  const command = addCommand(program, name, (operands) => {
    checkOperands(name, operands);
    const given = new Set(
      table
        .filter((flag) => command.getOptionValueSource(attributeOf(flag)) === "cli")
        .map((flag) => flag.name),
    );
    outcome.invoke({ command: name, flags: command.opts(), given } as ProductInvocation);
  });
  for (const flag of table) if (flag.since === "live") command.addOption(new FlagOption(flag));
  addHelpSections(command, table, commandNamed(name).examples, columns);
}

function addCommand(
  program: Command,
  name: (typeof commands)[number]["name"],
  act: (operands: readonly string[]) => void,
): Command {
  const { usage, summary, description, examples } = commandNamed(name);
  const command = program
    .command(name)
    .helpOption("-h, --help", "show this help")
    .usage(usage)
    .summary(summary)
    .description(description)
    .argument("[operands...]")
    .configureHelp({ ...helpStyle, visibleArguments: () => [] })
    .action(act);
  if (!isProductName(name) && examples.length > 0)
    command.addHelpText("after", `\nExamples:\n${examples.map((example) => `  ${example}`).join("\n")}`);
  return command;
}

function shellOf([word, ...rest]: readonly string[]): Shell {
  const all = SHELLS.join(", ");
  if (word === undefined) throw usageError(`completion takes the name of a shell: ${all}`);
  const shell = SHELLS.find((name) => name === word);
  if (shell === undefined || rest.length > 0)
    throw usageError(`completion takes one shell, ${all}, not ${quoted([word, ...rest].join(" "))}`);
  return shell;
}

/** `start` may stand anywhere among the flags, once, or be absent. */
function checkOperands(command: string, operands: readonly string[]): void {
  const [first, second] = operands;
  if (first === undefined) return;
  if (first !== "start") {
    throw usageError(`unknown command ${quoted(first)} of "${command}": use etcdproxy ${command} start`);
  }
  if (second !== undefined) {
    throw usageError(
      `unexpected argument ${quoted(second)} of "${command} start": values follow a flag, lists are comma-separated`,
    );
  }
}
