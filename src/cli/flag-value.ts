/**
 * The value of one flag: read from the operator's text by the flag's kind, and written as its default in the help.
 * Stands between the words of the command line and the typed values of a product.
 *
 * Invariant: a value that comes back is inside the flag's range; any other text is an error that names the flag, quotes
 * the text and shows what is expected.
 */
import { quoted, usageError } from "./command-line-error.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import type { FlagDefinition, FlagValue } from "./flag-definition.ts";

/** The longest wait that a timer of the runtime takes: a longer one would fire at once. */
const durationMsMax = 2 ** 31 - 1;

const trueWords = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const falseWords = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/**
 * Reads `text` as a value of `flag`.
 *
 * @param given what the same flag already got on this command line, for lists
 * @throws CommandLineError when it is none
 */
export function parseFlagValue(flag: FlagDefinition, text: string, given?: readonly string[]): FlagValue {
  switch (flag.kind) {
    case "text":
      return text;
    case "list":
      return [...(given ?? []), ...parseList(flag.name, text)];
    case "boolean":
      return parseBoolean(flag.name, text);
    case "duration":
      return parseDurationFlag(flag.name, text, flag.min ?? 0);
    case "integer":
      return parseInteger(flag.name, text, flag.min, flag.max);
  }
}

/** The default as the operator would write it; undefined when there is none worth showing. */
export function formatDefault(flag: FlagDefinition): string | undefined {
  switch (flag.kind) {
    case "text":
      return flag.default === "" ? undefined : flag.default;
    case "list":
      return flag.default.length === 0 ? undefined : flag.default.join(",");
    case "boolean":
      return flag.default ? "true" : undefined;
    case "duration":
      return formatDuration(flag.default);
    case "integer":
      return String(flag.default);
  }
}

function parseList(name: string, text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  // The list is not quoted: an endpoint may carry a password.
  if (items.includes(""))
    throw usageError(`--${name}: an item of the list is empty: write it, or drop the comma`);
  return items;
}

function parseBoolean(name: string, text: string): boolean {
  if (trueWords.has(text)) return true;
  if (falseWords.has(text)) return false;
  throw usageError(`--${name} ${quoted(text)}: write --${name}, --${name}=true or --${name}=false`);
}

function parseDurationFlag(name: string, text: string, minMs: number): number {
  const durationMs = parseDuration(text);
  if (durationMs === undefined) {
    throw usageError(`--${name} ${quoted(text)}: not a duration: write it like 1m30s, 500ms or 2h`);
  }
  if (durationMs < minMs || durationMs > durationMsMax) {
    throw usageError(
      `--${name} ${quoted(text)}: out of range: use ${formatDuration(minMs)} to ${formatDuration(durationMsMax)}`,
    );
  }
  return durationMs;
}

function parseInteger(name: string, text: string, min: number, max: number): number {
  if (!/^[+-]?\d+$/.test(text))
    throw usageError(`--${name} ${quoted(text)}: not a whole number: use ${min} to ${max}`);
  const value = Number(text);
  if (value < min || value > max)
    throw usageError(`--${name} ${quoted(text)}: out of range: use ${min} to ${max}`);
  return value;
}
