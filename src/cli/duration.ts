/**
 * Durations as operators write them for etcd, in the notation of Go: `1m30s`, `500ms`, `2h`, `1h0m0.5s`, `0`.
 * Stands between flag values and the milliseconds that timers take.
 *
 * Invariant: a duration that is not zero never becomes zero milliseconds, since zero means "off" to several flags.
 */

const nanosecondsPerUnit: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\u00b5s", 1_000n], // micro sign
  ["\u03bcs", 1_000n], // Greek letter mu
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);

const nanosecondsMax = 2n ** 63n - 1n; // what Go's time.Duration holds: about 292 years
const nanosecondsPerMillisecond = 1_000_000n;
const textLengthMax = 128;

/**
 * Reads a duration in Go's notation: an optional sign, then numbers (with an optional fraction), each with its unit
 * (`ns`, `us`, `ms`, `s`, `m`, `h`), or a bare `0`.
 *
 * @returns whole milliseconds, rounded away from zero; undefined when the text is not a duration
 */
export function parseDuration(text: string): number | undefined {
  if (text.length > textLengthMax) return undefined;
  const negative = text.startsWith("-");
  const unsigned = negative || text.startsWith("+") ? text.slice(1) : text;
  if (unsigned === "0") return 0;
  if (unsigned === "") return undefined;

  const part = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;
  let nanoseconds = 0n;
  while (part.lastIndex < unsigned.length) {
    const match = part.exec(unsigned);
    if (match === null) return undefined;
    const whole = match[1] ?? "";
    const fraction = match[2] ?? "";
    if (whole === "" && fraction === "") return undefined;
    const perUnit = nanosecondsPerUnit.get(match[3] ?? "") ?? 0n;
    nanoseconds += BigInt(`0${whole}`) * perUnit;
    nanoseconds += (BigInt(`0${fraction}`) * perUnit) / 10n ** BigInt(fraction.length);
  }
  if (nanoseconds > nanosecondsMax) return undefined;

  const milliseconds = (nanoseconds + nanosecondsPerMillisecond - 1n) / nanosecondsPerMillisecond;
  return negative && milliseconds > 0n ? -Number(milliseconds) : Number(milliseconds);
}

/**
 * Writes whole milliseconds in the shortest form that {@link parseDuration} reads back as the same number: `90_000` is `1m30s`.
 *
 * @param milliseconds an integer of at least 0
 */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0";
  const hours = Math.floor(milliseconds / 3_600_000);
  const minutes = Math.floor((milliseconds % 3_600_000) / 60_000);
  const rest = milliseconds % 60_000;
  let text = "";
  if (hours > 0) text += `${hours}h`;
  if (minutes > 0) text += `${minutes}m`;
  if (rest >= 1_000) text += `${Math.floor(rest / 1_000)}s`;
  if (rest % 1_000 > 0) text += `${rest % 1_000}ms`;
  return text;
}
