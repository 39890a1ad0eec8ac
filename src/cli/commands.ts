/**
 * The commands of the program: their names, what they are for, and the flags of the two that are products.
 * Stands beside the flag tables; command line, help, completions and the man page are made from both.
 */
import type { FlagDefinition } from "./flag-definition.ts";
import { gatewayFlags } from "./gateway-flags.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";

/** What serves clients. */
export const PRODUCT_NAMES = ["gateway", "grpc-proxy"] as const;
export type ProductName = (typeof PRODUCT_NAMES)[number];

/** Shells that completions are made for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The table of each product. */
export const productTables: Readonly<Record<ProductName, readonly FlagDefinition[]>> = {
  gateway: gatewayFlags,
  "grpc-proxy": grpcProxyFlags,
};

/** What stands in the program's first line of help. */
export const PROGRAM_DESCRIPTION =
  "etcd's two proxies: gateway forwards TCP connections, grpc-proxy understands etcd's API.";

export interface CommandDefinition {
  readonly name: ProductName | "check-config" | "completion" | "man" | "version";
  /** Behind the command's name. */
  readonly usage: string;
  /** One line without a full stop. */
  readonly summary: string;
  readonly description: string;
  readonly examples: readonly string[];
  /** The words that may follow it. */
  readonly operands: readonly string[];
}

/** In the order of the help. */
export const commands: readonly CommandDefinition[] = [
  {
    name: "gateway",
    usage: "[start] [flags]",
    summary: "forward TCP connections to the members of a cluster (L4)",
    description:
      "Forwards TCP connections to one member of an etcd cluster, and to another one when that fails (L4).",
    examples: [
      "etcdproxy gateway start --endpoints=infra0.example.com,infra1.example.com",
      "etcdproxy gateway --discovery-srv=example.com --listen-addr=127.0.0.1:2379",
    ],
    operands: ["start"],
  },
  {
    name: "grpc-proxy",
    usage: "[start] [flags]",
    summary: "answer and forward the calls of etcd's API (L7)",
    description: "Answers and forwards the calls of etcd's API over few connections to an etcd cluster (L7).",
    examples: [
      "etcdproxy grpc-proxy start --endpoints=infra0.example.com,infra1.example.com",
      "etcdproxy grpc-proxy start --endpoints=localhost:2379 --listen-addr=:23790 \\",
      "  --advertise-client-url=proxy.example.com:23790",
    ],
    operands: ["start"],
  },
  {
    name: "check-config",
    usage: "gateway|grpc-proxy [flags]",
    summary: "check what a product would be started with, and print it",
    description:
      "Reads flags, environment and --config-file as the product does, checks what can be checked without serving or " +
      "asking a member, and prints each value with where it comes from. Exit status 1 tells that it would not start.",
    examples: ["etcdproxy check-config grpc-proxy --config-file=proxy.yaml"],
    operands: PRODUCT_NAMES,
  },
  {
    name: "completion",
    usage: "bash|zsh|fish",
    summary: "print the completions of a shell",
    description: "Prints a script by which a shell completes commands, flags and their values.",
    examples: [
      'bash: eval "$(etcdproxy completion bash)"',
      'zsh:  eval "$(etcdproxy completion zsh)"',
      "fish: etcdproxy completion fish | source",
    ],
    operands: SHELLS,
  },
  {
    name: "man",
    usage: "",
    summary: "print the man page",
    description: "Prints the man page, for man -l or a folder of MANPATH.",
    examples: ["etcdproxy man | man -l -"],
    operands: [],
  },
  {
    name: "version",
    usage: "",
    summary: "print the version of the program and of what it was built with",
    description: "Prints the version of the program and of what it was built with.",
    examples: [],
    operands: [],
  },
];

/** The command of this name. */
export function commandNamed(name: CommandDefinition["name"]): CommandDefinition {
  return commands.find((command) => command.name === name)!;
}

export function isProductName(word: string | undefined): word is ProductName {
  return PRODUCT_NAMES.some((name) => name === word);
}
