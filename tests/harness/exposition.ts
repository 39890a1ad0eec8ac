/**
 * A strict reader of Prometheus's text format (version 0.0.4), with the rules of naming that `promtool check metrics`
 * holds a page to. It takes nothing for granted that the page's writer does: every octet of the page is accounted for.
 */

/** A metric: its type, and its value for each set of labels, written `name{a="b"}`. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: ReadonlyMap<string, number>;
}

const NAME = /^[a-z_][a-z0-9_]*$/;
const LABELS = /^(?:[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"(?:,|$))*$/;
const SAMPLE = /^([^ {]+)(?:\{(.*)\})? (\S+)$/;
const TYPES = ["counter", "gauge", "histogram", "summary", "untyped"];
const HISTOGRAM_SUFFIX = /_(bucket|sum|count)$/;
const ABBREVIATED_UNIT = /_(s|sec|secs|ms|us|ns|min|h|b|kb|mb|gb|kib|mib|pct)(_|$)/;
const OTHER_UNIT =
  /_(milliseconds|microseconds|nanoseconds|minutes|hours|days|kilobytes|megabytes|bits|percent)(_|$)/;

/** Reads a page. @throws Error with the first line that breaks the format, or a rule of naming */
export function readExposition(page: string): Map<string, Family> {
  if (!page.endsWith("\n")) throw new Error("the page does not end with a newline");
  const families = new Map<string, Family & { samples: Map<string, number> }>();
  const helps = new Map<string, string>();
  let current = "";
  page.split("\n").forEach((line, index) => {
    const refuse = (problem: string): never => {
      throw new Error(`line ${index + 1}, ${JSON.stringify(line)}: ${problem}`);
    };
    if (line === "") return;
    const [, word, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (word === "HELP") {
      if (helps.has(name)) refuse("a second help of this metric");
      helps.set(name, rest);
    } else if (word === "TYPE") {
      const problem = namingProblem(name, rest);
      if (problem !== undefined) refuse(problem);
      if (families.has(name)) refuse("a second type of this metric");
      families.set(name, { type: rest, help: helps.get(name) ?? refuse("no help"), samples: new Map() });
      current = name;
    } else {
      const [, sampled = "", labels = "", value = ""] =
        SAMPLE.exec(line) ?? refuse("neither comment nor sample");
      const family = families.get(current) ?? refuse("a sample without a type");
      const owner = family.type === "histogram" ? sampled.replace(HISTOGRAM_SUFFIX, "") : sampled;
      if (owner !== current) refuse(`a sample among those of ${current}`);
      if (!LABELS.test(labels)) refuse("labels that cannot be read");
      const series = labels === "" ? sampled : `${sampled}{${labels}}`;
      if (family.samples.has(series)) refuse("a second value of this series");
      family.samples.set(series, numberIn(value) ?? refuse("no number"));
      if (family.type === "counter" && !(numberIn(value)! >= 0)) refuse("a counter below zero");
    }
  });
  const untyped = [...helps.keys()].filter((name) => !families.has(name));
  if (untyped.length > 0) throw new Error(`no type: ${untyped.join(", ")}`);
  return families;
}

function namingProblem(name: string, type: string): string | undefined {
  if (!TYPES.includes(type)) return "an unknown type";
  if (!NAME.test(name)) return "a bad name";
  if (type === "counter" && !name.endsWith("_total")) return "a counter whose name does not end with _total";
  if (type !== "counter" && type !== "untyped" && name.endsWith("_total"))
    return "no counter, but named _total";
  if (type !== "histogram" && HISTOGRAM_SUFFIX.test(name)) return "a suffix that histograms have";
  if (new RegExp(`_(${TYPES.join("|")})(_|$)`).test(name)) return "the type in the name";
  if (ABBREVIATED_UNIT.test(name)) return "an abbreviated unit";
  return OTHER_UNIT.test(name) ? "a unit that is not the base unit" : undefined;
}

function numberIn(text: string): number | undefined {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  if (text === "NaN") return Number.NaN;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/** The value of a series that must be there. */
export function valueOf(families: ReadonlyMap<string, Family>, series: string): number {
  const value = families.get(series.replace(/\{.*$/, ""))?.samples.get(series);
  if (value === undefined) throw new Error(`no ${series} on the page`);
  return value;
}
