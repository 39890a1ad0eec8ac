/** Round numbers for the axes of plots. */

/** Steps of an axis in tens. */
const DECIMAL_STEPS = [1, 2, 5];
const BINARY_STEPS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const TIME_STEPS_MS = [15_000, 30_000, 60_000, 120_000, 300_000];

/**
 * Values from 0 up, evenly spaced, the last one at or above `greatest`: three to five of them.
 *
 * @param base 1024 for bytes
 * @param stepMin the least distance: 1 for what is counted
 */
export function valueTicks(greatest: number, base: 10 | 1024, stepMin = 0): number[] {
  const steps = base === 10 ? DECIMAL_STEPS : BINARY_STEPS;
  const wanted = greatest > 0 && Number.isFinite(greatest) ? greatest : 1;
  let unit = base ** Math.floor(Math.log(wanted / 4) / Math.log(base));
  if (base === 1024) unit = Math.max(unit, 1); // There is no part of a byte.
  const candidates = [...steps.map((step) => step * unit), base * unit, base * unit * 2];
  const step = Math.max(
    stepMin,
    candidates.find((candidate) => candidate * 4 >= wanted * (1 - 1e-9))!,
  );
  const count = Math.max(2, Math.ceil((wanted / step) * (1 - 1e-9)));
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

/**
 * Moments between the two, at full minutes or parts of them: about `count`.
 * @param zoneMs what the local time is ahead of UTC, in milliseconds
 */
export function timeTicks(fromMs: number, toMs: number, count: number, zoneMs = 0): number[] {
  const stepMs = TIME_STEPS_MS.find((step) => (toMs - fromMs) / step <= count + 0.5) ?? TIME_STEPS_MS.at(-1)!;
  const ticks: number[] = [];
  const first = Math.ceil((fromMs + zoneMs) / stepMs) * stepMs - zoneMs;
  for (let at = first; at <= toMs; at += stepMs) ticks.push(at);
  return ticks;
}
