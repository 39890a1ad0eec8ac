/**
 * The command line as a whole: which command, with which typed values, or which help.
 * Stands between the operator's words and run.ts; does nothing but read, so every outcome can be tested as a value.
 *
 * Invariant: words either become exactly one invocation, or throw a CommandLineError with the one line that says why.
 */
import { Command, CommanderError } from "commander";
import { type CommandLineError, quoted, usageError } from "./command-line-error.ts";
import type { FlagDefinition } from "./flag-definition.ts";
import { type GatewayFlags, gatewayFlags } from "./gateway-flags.ts";
import { readGoStyleWords } from "./go-style-words.ts";
import { type GrpcProxyFlags, grpcProxyFlags } from "./grpc-proxy-flags.ts";
import { addHelpSections, FlagOption, helpColumns, helpStyle } from "./help.ts";
import { suggestName } from "./suggestion.ts";

/** What the operator asked for. */
export type Invocation =
  | ({ readonly command: "gateway"; readonly flags: GatewayFlags } & Remarks)
  | ({ readonly command: "grpc-proxy"; readonly flags: GrpcProxyFlags } & Remarks)
  | { readonly command: "version" }
  /** `asked` is false when no command was given: the help then goes to stderr, and the exit status is 1. */
  | { readonly command: "help"; readonly text: string; readonly asked: boolean };

/** What the operator should know of what he wrote, each a line for the log; absent where there is nothing. */
interface Remarks {
  readonly remarks?: readonly string[];
}

const tables: Readonly<Record<string, readonly FlagDefinition[]>> = {
  gateway: gatewayFlags,
  "grpc-proxy": grpcProxyFlags,
  version: [],
};
const commandNames = [...Object.keys(tables), "help"];

/**
 * Reads the words after the program's name.
 *
 * @param terminalColumns width of the terminal that help would go to, undefined when it is none
 * @throws CommandLineError
 */
export function parseCommandLine(words: readonly string[], terminalColumns?: number): Invocation {
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
  const table = Object.hasOwn(tables, name) ? tables[name] : undefined;
  if (table === undefined) throw unknownCommand(first);
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

interface Outcome {
  readonly invoke: (invocation: Invocation) => void;
  readonly print: (text: string) => void;
}

function buildProgram(columns: number, outcome: Outcome): Command {
  const program = new Command("etcdproxy")
    .description("etcd's two proxies: gateway forwards TCP connections, grpc-proxy understands etcd's API.")
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

  const gateway = addProduct(program, "gateway", gatewayFlags)
    .usage("[start] [flags]")
    .summary("forward TCP connections to the members of a cluster (L4)")
    .description(
      "Forwards TCP connections to one member of an etcd cluster, and to another one when that fails (L4).",
    )
    .action((operands: string[]) => {
      checkOperands("gateway", operands);
      outcome.invoke({ command: "gateway", flags: gateway.opts<GatewayFlags>(), ...remarksOn(gateway) });
    });
  addHelpSections(
    gateway,
    gatewayFlags,
    [
      "etcdproxy gateway start --endpoints=infra0.example.com,infra1.example.com",
      "etcdproxy gateway --discovery-srv=example.com --listen-addr=127.0.0.1:2379",
    ],
    columns,
  );

  const grpcProxy = addProduct(program, "grpc-proxy", grpcProxyFlags)
    .usage("[start] [flags]")
    .summary("answer and forward the calls of etcd's API (L7)")
    .description("Answers and forwards the calls of etcd's API over few connections to an etcd cluster (L7).")
    .action((operands: string[]) => {
      checkOperands("grpc-proxy", operands);
      outcome.invoke({
        command: "grpc-proxy",
        flags: grpcProxy.opts<GrpcProxyFlags>(),
        ...remarksOn(grpcProxy),
      });
    });
  addHelpSections(
    grpcProxy,
    grpcProxyFlags,
    [
      "etcdproxy grpc-proxy start --endpoints=infra0.example.com,infra1.example.com",
      "etcdproxy grpc-proxy start --endpoints=localhost:2379 --listen-addr=:23790 \\",
      "  --advertise-client-url=proxy.example.com:23790",
    ],
    columns,
  );

  program
    .command("version")
    .helpOption("-h, --help", "show this help")
    .description("print the version of the program and of what it was built with")
    .action(() => outcome.invoke({ command: "version" }));
  return program;
}

/** A variable that was to name the domain and is not set, say, leaves the default in charge without a word. */
function remarksOn(command: Command): Remarks {
  const { discoverySrv, endpoints } = command.opts<Pick<GatewayFlags, "discoverySrv" | "endpoints">>();
  if (discoverySrv !== "" || command.getOptionValueSource("discoverySrv") === "default") return {};
  const theirs =
    command.getOptionValueSource("endpoints") === "default" ? `, by default ${endpoints.join()}` : "";
  return { remarks: [`--discovery-srv is empty: the members are those of --endpoints${theirs}`] };
}

function addProduct(program: Command, name: string, table: readonly FlagDefinition[]): Command {
  const command = program
    .command(name)
    .helpOption("-h, --help", "show this help")
    .argument("[operands...]")
    .configureHelp({ ...helpStyle, visibleArguments: () => [] });
  for (const flag of table) if (flag.since === "live") command.addOption(new FlagOption(flag));
  return command;
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
