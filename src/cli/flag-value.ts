/**
 * The value of one flag: read from the operator's text by the flag's kind, and written as its default in the help.
 * Stands between the operator's words, wherever they stand, and the typed values of a product.
 *
 * Invariant: a value that comes back is inside the flag's range; any other text is an error that names where it stands,
 * quotes the text and shows what is expected.
 */
import { quoted, usageError } from "./command-line-error.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import type { FlagDefinition, FlagValue } from "./flag-definition.ts";
import { suggestName } from "./suggestion.ts";

/** The longest wait that a timer of the runtime takes: a longer one would fire at once. */
const durationMsMax = 2 ** 31 - 1;

const trueWords = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const falseWords = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/**
 * Reads `text` as a value of `flag`.
 *
 * @param given what the same flag already got in the same place, for lists
 * @param named where the value stands, for errors: `--listen-addr` when absent
 * @throws CommandLineError when it is none
 */
export function parseFlagValue(
  flag: FlagDefinition,
  text: string,
  given: readonly string[] = [],
  named = `--${flag.name}`,
): FlagValue {
  switch (flag.kind) {
    case "text":
      return parseText(named, text, flag.values);
    case "list":
      return [...given, ...parseList(named, text)];
    case "boolean":
      return parseBoolean(named, text);
    case "duration":
      return parseDurationFlag(named, text, flag.min ?? 0);
    case "integer":
      return parseInteger(named, text, flag.min, flag.max);
  }
}

/** The value as {@link parseFlagValue} reads it back. */
export function formatFlagValue(flag: FlagDefinition, value: FlagValue): string {
  if (Array.isArray(value)) return value.join(",");
  return flag.kind === "duration" ? formatDuration(Number(value)) : String(value);
}

/** The default as the operator would write it; undefined when there is none worth showing. */
export function formatDefault(flag: FlagDefinition): string | undefined {
  const text = formatFlagValue(flag, flag.default);
  return text === "" || text === "false" ? undefined : text;
}

/** The words that may be given, the empty one left out; undefined where any text may. */
export function wordsOf(flag: FlagDefinition): readonly string[] | undefined {
  return flag.kind === "text" ? flag.values?.filter((word) => word !== "") : undefined;
}

function parseText(named: string, text: string, values: readonly string[] | undefined): string {
  if (values === undefined || values.includes(text)) return text;
  const words = values.filter((word) => word !== "");
  const suggestion = suggestName(text, words);
  const advice = suggestion === undefined ? `use ${words.join(", ")}` : `did you mean ${suggestion}?`;
  throw usageError(`${named} ${quoted(text)} is unknown: ${advice}`);
}

function parseList(named: string, text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  // The list is not quoted: an endpoint may carry a password.
  if (items.includes(""))
    throw usageError(`${named}: an item of the list is empty: write it, or drop the comma`);
  return items;
}

function parseBoolean(named: string, text: string): boolean {
  if (trueWords.has(text)) return true;
  if (falseWords.has(text)) return false;
  const words = named.startsWith("--") ? `${named}, ${named}=true or ${named}=false` : "true or false";
  throw usageError(`${named} ${quoted(text)}: write ${words}`);
}

function parseDurationFlag(named: string, text: string, minMs: number): number {
  const durationMs = parseDuration(text);
  if (durationMs === undefined) {
    throw usageError(`${named} ${quoted(text)}: not a duration: write it like 1m30s, 500ms or 2h`);
  }
  if (durationMs < minMs || durationMs > durationMsMax) {
    throw usageError(
      `${named} ${quoted(text)}: out of range: use ${formatDuration(minMs)} to ${formatDuration(durationMsMax)}`,
    );
  }
  return durationMs;
}

function parseInteger(named: string, text: string, min: number, max: number): number {
  if (!/^[+-]?\d+$/.test(text))
    throw usageError(`${named} ${quoted(text)}: not a whole number: use ${min} to ${max}`);
  const value = Number(text);
  if (value < min || value > max)
    throw usageError(`${named} ${quoted(text)}: out of range: use ${min} to ${max}`);
  return value;
}
