import { describe, expect, test } from "bun:test";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { gatewayFlags } from "../../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";

function help(words: readonly string[], terminalColumns?: number): { text: string; asked: boolean } {
  const invocation = parseCommandLine(words, terminalColumns);
  if (invocation.command !== "help") throw new Error(`read as ${invocation.command}`);
  return invocation;
}

/** Lines from a heading to the next empty line. */
function section(text: string, heading: string): string[] {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.startsWith(heading));
  expect(start).not.toBe(-1);
  return lines.slice(start + 1, lines.indexOf("", start));
}

/** The same whatever the longest flag is: one gap between a flag and its description. */
const unaligned = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replaceAll(/(?<=\S) {2,}/g, "  "));

describe("help", () => {
  test.each(["--help", "-h", "help", "help help"])("of the program is asked for by %s", (line) => {
    const { text, asked } = help(line.split(" "));
    expect(asked).toBe(true);
    expect(text).toStartWith("Usage: etcdproxy <command> [flags]\n");
    expect(section(text, "Commands:").map((line) => line.trim().split(" ")[0])).toEqual([
      "gateway",
      "grpc-proxy",
      "check-config",
      "completion",
      "man",
      "version",
      "help",
    ]);
  });

  test("is shown without being asked for when no command is given", () => {
    expect(help([])).toEqual({ ...help(["--help"]), asked: false });
  });

  test.each([
    [["gateway", "--help"], "gateway"],
    [["gateway", "start", "-h"], "gateway"],
    [["gateway", "--debug", "--help", "--anything"], "gateway"],
    [["help", "gateway"], "gateway"],
    [["grpc-proxy", "--help"], "grpc-proxy"],
    [["grpc-proxy", "start", "--help"], "grpc-proxy"],
    [["help", "grpc-proxy"], "grpc-proxy"],
  ] as const)("%p shows the flags of %s", (words, command) => {
    const { text, asked } = help(words);
    expect(asked).toBe(true);
    expect(text).toStartWith(`Usage: etcdproxy ${command} [start] [flags]\n`);
  });

  test("shows a flag in its group, with its placeholder, description and default", () => {
    const { text } = help(["gateway", "--help"], 100);
    expect(unaligned(section(text, "Listening:"))).toEqual([
      "  --listen-addr <host:port>  address that clients connect to (default: 127.0.0.1:23790)",
    ]);
    expect(section(text, "Endpoints:").join("\n")).toContain("--retry-delay <duration>");
    expect(section(text, "Endpoints:").join("\n")).toContain("(default: 1m)");
    expect(section(text, "Discovery:").join("\n")).toContain("--discovery-srv <domain>");
    expect(section(text, "Limits:").join("\n")).toContain("--max-connections <number>");
  });

  test("shows a boolean without a value, and without a default", () => {
    const { text } = help(["gateway", "--help"], 120);
    expect(unaligned(section(text, "Logging:"))).toContain("  --debug  the same as --log-level=debug");
  });

  test("lists flags that are refused in a group of their own", () => {
    const { text } = help(["grpc-proxy", "--help"]);
    const refused = section(text, "Not supported yet").join(" ").trim().split(/\s+/);
    const later = grpcProxyFlags.filter(({ since }) => since === "later").map(({ name }) => `--${name}`);
    expect(refused).toEqual(later);
  });

  test.each([
    ["gateway", gatewayFlags.map(({ name }) => name)],
    ["grpc-proxy", grpcProxyFlags.map(({ name }) => name)],
  ] as const)("of %s names every flag of its table", (command, names) => {
    const words = new Set(help([command, "--help"]).text.split(/\s+/));
    expect(names.filter((name) => !words.has(`--${name}`))).toEqual([]);
  });

  test("explains the notation of values, and ends with examples that can be run", () => {
    const { text } = help(["grpc-proxy", "--help"]);
    expect(section(text, "Values:").join("\n")).toContain("Durations read 1m30s, 500ms or 2h.");
    expect(text).toContain(
      "Examples:\n  etcdproxy grpc-proxy start --endpoints=infra0.example.com,infra1.example.com\n",
    );
  });

  test.each([
    [undefined, 100],
    [20, 80],
    [80, 80],
    [93, 93],
    [400, 100],
  ])("on a terminal of %p columns fits into %d", (terminalColumns, columns) => {
    for (const words of [["--help"], ["gateway", "--help"], ["grpc-proxy", "--help"]]) {
      const tooLong = help(words, terminalColumns)
        .text.split("\n")
        .filter((line) => line.length > columns);
      expect(tooLong).toEqual([]);
    }
  });
});
