/**
 * Runs the measurements round by round, and in each the contenders one after the other: A B C, A B C, …
 *
 * Each load has a fixed number of operations, found once before the first round, so that what is counted is exact.
 * A load that fails leaves a hole in the figures and a line among the failures; the others go on.
 */
import { withDeadline } from "../harness/wait-for.ts";
import { cpuMicros } from "./cpu-clock.ts";
import type { Figures, Quantity } from "./figures.ts";
import type { Contender, Measurement } from "./measurement.ts";

/** What a warm-up lasts, as a share of a measurement; it also tells how many operations fill one. */
const WARM_UP_SHARE = 0.25;
/** How much of a measurement is repeated where latencies take a run of their own. */
const LATENCY_SHARE = 0.2;
const LOAD_MAX_MS = 180_000;

/** What a run of rounds needs to know and whom it tells. */
export interface RoundsPlan {
  readonly measurements: readonly Measurement[];
  readonly rounds: number;
  readonly seconds: number;
  readonly figures: Figures;
  /** Aborted when the benchmark is to end. */
  readonly signal: AbortSignal;
  /** Gets a line about what is under way. */
  progress(line: string): void;
  /** Gets what went wrong in a measurement. */
  failed(line: string): void;
  /** Between two rounds. */
  afterRound(): Promise<void>;
}

export async function runRounds(plan: RoundsPlan): Promise<void> {
  const operations = new Map<Contender, Map<Measurement, number>>();
  await forEachLoad(plan, "warm-up", async (measurement, contender) => {
    const counts = operations.get(contender) ?? new Map<Measurement, number>();
    operations.set(contender, counts.set(measurement, await calibrate(plan, measurement, contender)));
  });
  for (let round = 0; round < plan.rounds; round++) {
    await forEachLoad(plan, `round ${round + 1} of ${plan.rounds}`, async (measurement, contender) => {
      const count = operations.get(contender)?.get(measurement);
      if (count !== undefined) await measure(plan.figures, measurement, contender, round, count);
    });
    await plan.afterRound();
  }
}

async function forEachLoad(
  plan: RoundsPlan,
  stepName: string,
  step: (measurement: Measurement, contender: Contender) => Promise<void>,
): Promise<void> {
  for (const measurement of plan.measurements) {
    for (const contender of measurement.contenders) {
      plan.signal.throwIfAborted();
      const what = `${measurement.title}, ${contender.name}`;
      plan.progress(`${stepName}: ${what}`);
      Bun.gc(true);
      try {
        await withDeadline(step(measurement, contender), () => what, LOAD_MAX_MS);
      } catch (error) {
        plan.signal.throwIfAborted();
        plan.failed(`${stepName}: ${what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

/** How many operations fill the wanted time; the program under load is warm afterwards. */
async function calibrate(plan: RoundsPlan, measurement: Measurement, contender: Contender): Promise<number> {
  const first = await measurement.run(contender, measurement.firstOperations);
  const wanted = (first.operations / first.elapsedSeconds) * plan.seconds * WARM_UP_SHARE;
  const second = await measurement.run(contender, Math.max(measurement.firstOperations, wanted));
  return (second.operations / second.elapsedSeconds) * plan.seconds;
}

async function measure(
  figures: Figures,
  measurement: Measurement,
  contender: Contender,
  round: number,
  operations: number,
): Promise<void> {
  const add = (quantity: Quantity, value: number): void =>
    figures.add(measurement.id, contender.name, quantity, round, value);
  const callsBefore = await measurement.upstreamCalls?.();
  const serverBefore = cpuMicros(measurement.serverPid);
  const proxyBefore = contender.pid === undefined ? undefined : cpuMicros(contender.pid);
  const result = await measurement.run(contender, operations);
  if (proxyBefore !== undefined && contender.pid !== undefined) {
    add("proxyCpuMicros", (cpuMicros(contender.pid) - proxyBefore) / result.operations);
  }
  add("serverCpuMicros", (cpuMicros(measurement.serverPid) - serverBefore) / result.operations);
  const callsAfter = await measurement.upstreamCalls?.();
  if (callsBefore !== undefined && callsAfter !== undefined) {
    add("upstreamCallsShare", (callsAfter - callsBefore) / result.operations);
  }
  add("operationsPerSecond", result.operations / result.elapsedSeconds);
  for (const [quantity, value] of Object.entries(result.told ?? {})) {
    if (value !== undefined) add(quantity as Quantity, value);
  }
  const latency = (await measurement.latency?.(contender, operations * LATENCY_SHARE)) ?? result.latency;
  if (latency === undefined) return;
  add("p50Micros", latency.p50Micros);
  add("p99Micros", latency.p99Micros);
}
