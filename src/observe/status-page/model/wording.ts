/** Numbers and times as people read them. An absent value is a dash. */

/** How a value is written. */
export type Unit = "count" | "perSecond" | "seconds" | "bytes" | "bytesPerSecond" | "part";

export const ABSENT = "–";
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
/** So that digits of three are told apart without a sign that depends on the language. */
const THIN_SPACE = "\u202f";

/** `value` with its unit: `1 234`, `12.5/s`, `1.25 ms`, `3.4 MiB`, `98.7 %`. */
export function worded(value: number | null, unit: Unit): string {
  if (value === null || !Number.isFinite(value)) return ABSENT;
  switch (unit) {
    case "count":
      return rounded(value);
    case "perSecond":
      return `${rounded(value)}/s`;
    case "seconds":
      return duration(value);
    case "bytes":
      return bytes(value);
    case "bytesPerSecond":
      return `${bytes(value)}/s`;
    case "part":
      return `${rounded(value * 100)}${THIN_SPACE}%`;
  }
}

/** Three digits that tell something; whole from a hundred on. */
function rounded(value: number): string {
  const digits = value === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toFixed(digits);
  const [whole = "", fraction = ""] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, THIN_SPACE);
  const kept = fraction.replace(/0+$/, "");
  return kept === "" ? grouped : `${grouped}.${kept}`;
}

function duration(seconds: number): string {
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${rounded(seconds * 1e6)}${THIN_SPACE}µs`;
  if (seconds < 1) return `${rounded(seconds * 1000)}${THIN_SPACE}ms`;
  return `${rounded(seconds)}${THIN_SPACE}s`;
}

function bytes(value: number): string {
  const power = Math.min(
    BYTE_UNITS.length - 1,
    Math.max(0, Math.floor(Math.log2(Math.abs(value) || 1) / 10)),
  );
  return `${rounded(value / 1024 ** power)}${THIN_SPACE}${BYTE_UNITS[power]}`;
}

/** `4 d 3 h`, `3 h 12 min`, `12 min 5 s`, `5 s`. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}

/** How many of `many` there are for each of `few`: `25 : 1`; a dash while there is nothing to compare. */
export function ratio(many: number | null, few: number | null): string {
  if (many === null || few === null || many === 0 || few === 0) return ABSENT;
  return `${rounded(many / few)} : 1`;
}

/** The part of `part` and `rest` that `part` is; null of nothing. */
export function partOf(part: number | null, rest: number | null): number | null {
  const whole = (part ?? 0) + (rest ?? 0);
  return whole === 0 ? null : (part ?? 0) / whole;
}

/** The time of day, local: `14:03:09`, or `14:03`. */
export function clock(timeMs: number, withSeconds = true): string {
  const at = new Date(timeMs);
  const parts = [at.getHours(), at.getMinutes(), ...(withSeconds ? [at.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** The day, local: `2026-11-26`. */
export function day(timeMs: number): string {
  const at = new Date(timeMs);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()]
    .map((part) => String(part).padStart(2, "0"))
    .join("-");
}
