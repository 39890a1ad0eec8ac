/**
 * `etcdproxy check-config`: what a product would be started with, and whether it would start.
 * Stands beside the start, and calls the same functions up to where that listens, asks name servers for members, or dials.
 *
 * Invariant: the report is a configuration file with the same values, each with its origin as a comment, unless the check
 * fails; it holds no password, also where one was written to where none belongs.
 */
import { withoutUserInfo } from "../net/address.ts";
import { createLogger } from "../observe/log.ts";
import { CommandLineError } from "./command-line-error.ts";
import { productTables } from "./commands.ts";
import { attributeOf, type FlagDefinition, type FlagValue } from "./flag-definition.ts";
import { formatFlagValue } from "./flag-value.ts";
import { loggingOptions } from "./logging-flags.ts";
import type { Settings } from "./settings.ts";
import { checkGateway } from "./start-gateway.ts";
import { checkGrpcProxy } from "./start-grpc-proxy.ts";
import { servingRemarks, startRemarks } from "./start-remarks.ts";
import { shownOrigin } from "./value-origin.ts";
import { refuseTooManyWorkers } from "./worker-shares.ts";

export interface CheckedConfig {
  /** Lines of YAML. */
  readonly report: string;
  /** The error that the start would end with; null: it would go on to listen. */
  readonly error: CommandLineError | null;
}

/** Origins are aligned behind values up to this length. */
const VALUE_COLUMNS_MAX = 56;

/** Checks the values of a product. Opens no port, asks no member, writes no file. */
export async function checkConfig(settings: Settings): Promise<CheckedConfig> {
  const { serve, unusedVariables, origins } = settings;
  const remarks: string[] = [];
  let error: CommandLineError | null = null;
  try {
    await check(settings, remarks);
  } catch (thrown) {
    if (!(thrown instanceof CommandLineError)) throw thrown;
    error = origins.explain(thrown);
  }
  const outcome = error === null ? "would start" : "would not start";
  const lines = [
    `etcdproxy ${serve.product} ${outcome} with these values.`,
    ...unusedVariables.map((name) => `note: ${name} is not used: the ${serve.product} has no such flag`),
    ...remarks,
  ];
  const comments = lines.map((line) => `# ${origins.explain(new CommandLineError(line)).line}\n`);
  return { report: comments.join("") + valueLines(settings).join(""), error };
}

async function check({ serve, origins }: Settings, remarks: string[]): Promise<void> {
  const log = createLogger({
    level: "info",
    output: "json",
    destination: { write: (line) => void remarks.push(remarkOf(line)) },
  });
  const { level } = loggingOptions(serve.flags, false, {});
  const infoEnabled = level === "debug" || level === "info";
  const known = [...startRemarks(serve, origins, { infoEnabled }), ...servingRemarks(serve, origins)];
  for (const remark of known) log.warn(remark);
  if (serve.flags.workers > 1) refuseTooManyWorkers(serve.flags.workers);
  if (serve.product === "gateway") await checkGateway(serve.flags, log);
  else await checkGrpcProxy(serve.flags, log);
}

/** What the start would log, in one line. */
function remarkOf(line: string): string {
  const { level, ts: _time, caller: _caller, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields).map(([name, value]) => `${name}: ${String(value)}`);
  const kind = level === "info" ? "note" : "warning";
  return `${kind}: ${String(msg)}${details.length === 0 ? "" : ` (${details.join(", ")})`}`;
}

function valueLines({ serve, origins }: Settings): string[] {
  const flags: Readonly<Record<string, FlagValue>> = serve.flags;
  const rows = productTables[serve.product]
    .filter(({ since }) => since === "live")
    .map((flag) => {
      const value = yamlOf(flag, flags[attributeOf(flag)]!);
      // In a file it would be refused.
      const comment = flag.name === "config-file" ? "# " : "";
      return {
        text: `${comment}${flag.name}: ${value}`,
        origin: shownOrigin(flag.name, origins.of(flag.name)),
      };
    });
  const columns = Math.min(VALUE_COLUMNS_MAX, Math.max(...rows.map(({ text }) => text.length)));
  return rows.map(({ text, origin }) => `${text.padEnd(columns)}  # ${printable(origin)}\n`);
}

function yamlOf(flag: FlagDefinition, value: FlagValue): string {
  switch (flag.kind) {
    case "text":
      return JSON.stringify(withoutSecret(flag, String(value)));
    case "list":
      return `[${(value as readonly string[]).map((item) => JSON.stringify(withoutSecret(flag, item))).join(", ")}]`;
    default:
      return formatFlagValue(flag, value);
  }
}

/** A password stands in a file of its own. Wherever else one was written, the start refuses it. */
function withoutSecret({ name }: FlagDefinition, text: string): string {
  if (name === "user") return text.replace(/:.*$/s, ":…");
  return ADDRESS_FLAGS.has(name) ? withoutUserInfo(text) : text;
}

/** Those whose value may be written as a URL, which has a place for a user and a password. */
const ADDRESS_FLAGS: ReadonlySet<string> = new Set([
  "listen-addr",
  "endpoints",
  "endpoint-weights",
  "dns-server",
  "metrics-addr",
  "advertise-client-url",
]);

function printable(text: string): string {
  return new CommandLineError(text).line;
}
