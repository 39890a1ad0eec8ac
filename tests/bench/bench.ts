/**
 * Measures etcdproxy against etcd's own proxies, HAProxy, nginx and the floors, in one run on one machine.
 *
 * What `scripts/bench` runs once the machine is set up. Invariant: however it ends (done, failed, Ctrl-C), every
 * process that it started is gone. It exits with 1 when something could not be measured, and with `--strict` also
 * when a target is missed.
 */
import { writeFileSync } from "node:fs";
import { GrpcClient } from "../harness/grpc-client.ts";
import { ensureBuilt } from "../harness/etcdproxy-process.ts";
import { Figures } from "./figures.ts";
import { gatewayMeasurements } from "./gateway.ts";
import { measureIdle } from "./idle.ts";
import { compact, kvMeasurements, putReadKey } from "./kv.ts";
import { leaseMeasurements, measureLease } from "./lease.ts";
import type { Measured } from "./measurement.ts";
import { type BenchOptions, parseOptions, USAGE } from "./options.ts";
import { idleTable, measurementTable, verdictTable } from "./report.ts";
import { runRounds } from "./rounds.ts";
import { Stage } from "./stage.ts";
import { targets } from "./targets.ts";
import { measureTls } from "./tls.ts";
import { judge, type Verdict } from "./verdict.ts";
import { type Versions, versions } from "./versions.ts";
import { measureWatch, watchMeasurements } from "./watch.ts";

const startedAtMs = performance.now();

function progress(line: string): void {
  const seconds = String(Math.round((performance.now() - startedAtMs) / 1000));
  console.error(`${seconds.padStart(4)} s  ${line}`);
}

function print(lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${lines.join("\n")}`);
}

interface Outcome {
  readonly options: BenchOptions;
  readonly versions: Versions;
  readonly measurements: readonly Measured[];
  readonly figures: Figures;
  readonly verdicts: readonly Verdict[];
  readonly failures: readonly string[];
}

function writeJson({ options, versions, measurements, figures, verdicts, failures }: Outcome): void {
  const content = {
    endedAt: new Date().toISOString(),
    options,
    versions,
    measurements: measurements.map(({ id, title, part, operation }) => ({ id, title, part, operation })),
    figures,
    targets: verdicts.map(({ target, ...verdict }) => ({ ...target, ...verdict })),
    failures,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(content, undefined, 2)}\n`);
}

async function measureAll(options: BenchOptions, signal: AbortSignal): Promise<Outcome> {
  const used = versions();
  for (const [name, value] of Object.entries(used)) console.log(`${name.padEnd(12)} ${String(value)}`);
  await using stage = await Stage.start();
  using client = new GrpcClient(stage.etcdAddress);
  await putReadKey(client);

  const figures = new Figures();
  const failures: string[] = [];
  const failed = (line: string): void => {
    failures.push(line);
    progress(`FAILED  ${line}`);
  };
  const measurements = [
    ...(options.parts.includes("kv") ? await kvMeasurements(stage, client) : []),
    ...(options.parts.includes("gateway") ? await gatewayMeasurements(stage, client) : []),
  ];
  const { rounds, seconds } = options;
  const afterRound = (): Promise<void> => compact(client);
  await runRounds({ measurements, rounds, seconds, figures, signal, progress, failed, afterRound });
  const watch = options.parts.includes("watch");
  if (watch) await measureWatch({ stage, rounds, seconds, figures, signal, progress, failed, afterRound });
  const lease = options.parts.includes("lease");
  if (lease) await measureLease({ stage, rounds, seconds, figures, signal, progress, failed, afterRound });
  const tls = options.parts.includes("tls")
    ? await measureTls(stage, client, { rounds, seconds, figures, signal, progress, failed, afterRound })
    : [];
  const idle = (["gateway", "grpc-proxy"] as const).filter(
    (product) => options.parts.includes("idle") || (product === "gateway" && options.parts.includes(product)),
  );
  await measureIdle({ stage, products: idle, rounds, figures, signal, progress, failed });

  const verdicts = targets.map((target) => judge(target, figures));
  const measured = [
    ...measurements,
    ...(watch ? watchMeasurements : []),
    ...(lease ? leaseMeasurements : []),
    ...tls,
  ];
  return { options, versions: used, measurements: measured, figures, verdicts, failures };
}

function report({ options, measurements, figures, verdicts, failures }: Outcome): void {
  for (const measurement of measurements) print(measurementTable(measurement, figures));
  print(idleTable(figures));
  print(verdictTable(verdicts));
  if (failures.length > 0) print(["NOT MEASURED, because these failed:", ...failures]);
  console.log(`\nall figures are in ${options.jsonFile}`);
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (words.includes("--help") || words.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  let options: BenchOptions;
  try {
    options = parseOptions(words);
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 1;
  }
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      // The second time at once: children are killed as the process exits.
      if (interruption.signal.aborted) process.exit(1);
      console.error("bench: ending");
      interruption.abort(new Error("interrupted"));
    });
  }
  await ensureBuilt();
  const outcome = await measureAll(options, interruption.signal);
  writeJson(outcome);
  report(outcome);
  const missed = outcome.verdicts.some((verdict) => verdict.outcome === "missed");
  return outcome.failures.length > 0 || (options.strict && missed) ? 1 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
