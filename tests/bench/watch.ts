/**
 * The measurements of watches through grpc-proxy: fan-out of events, creation of watches, and what they hold.
 *
 * Each load is one run of `programs/watch-clients.ts`, which counts and checks every event. The puts go straight
 * to etcd, so that only events pass the proxies. What was found about etcd (3.5.16), and how the loads heed it:
 * - Its proxy opens a watch at etcd for each watcher without a start revision that comes after its group has got
 *   its first answer (#9839): some hundred for 10 000 watchers that come at once. With a start revision they share
 *   one. So the watchers of the fan-out name etcd's next revision; only the creation is measured with "now".
 * - Its proxy ends a client's stream that does not take its events for 50 ms. What it delivered counts, over the
 *   time until the last event; the share that is missing is told.
 * - etcd keeps 128 events for a stream that lags, and comes back to it every 100 ms only: more puts in flight
 *   would measure that pause. So a burst is 500 puts as fast as etcd takes them, with 100 unanswered at most.
 */
import { join } from "node:path";
import { runCommand } from "../harness/child-process.ts";
import type { Figures, Quantity } from "./figures.ts";
import type { Contender, Measured, Operation } from "./measurement.ts";
import type { Program, Stage } from "./stage.ts";
import { type LoadMode, watchFault, type WatchFigures } from "./watch-load/watch-figures.ts";

const PROGRAM = join(import.meta.dir, "programs", "watch-clients.ts");
const ONE_KEY = ["--ranges=0", "--watchers=1000"];
const RANGES = ["--ranges=100", "--watchers=100"];
const MANY_WATCHES = 10_000;
/** How long one load lasts, as a share of what a measurement usually does: there are many, each with a warm-up. */
const LOAD_SHARE = 0.6;
/** Memory and creation take processes of their own, and differ little from round to round. */
const ROUNDS_MAX_ALONE = 3;

interface WatchMeasurement extends Measured {
  readonly mode: LoadMode;
  readonly flags: readonly string[];
}

function fanOut(id: string, title: string, mode: LoadMode, flags: readonly string[]): WatchMeasurement {
  return { id, title: `grpc-proxy: ${title}`, part: "watch", operation: "event", mode, flags };
}

function alone(id: string, title: string, mode: LoadMode, flags: readonly string[]): WatchMeasurement {
  const watchers = `--watchers=${MANY_WATCHES}`;
  const what = `grpc-proxy: ${title}`;
  return { id, title: what, part: "watch", operation: "watch", mode, flags: [watchers, ...flags] };
}

const oneKey = "1000 watchers of one key";
const ranges = "100 ranges with 100 watchers each";
const fanOuts: readonly WatchMeasurement[] = [
  fanOut("watch-one-key-burst", `${oneKey}, bursts of puts`, "burst", ONE_KEY),
  fanOut("watch-one-key-paced", `${oneKey}, 500 puts/s`, "paced", ONE_KEY),
  fanOut("watch-ranges-burst", `${ranges}, bursts of puts`, "burst", RANGES),
  fanOut("watch-ranges-paced", `${ranges}, 500 puts/s`, "paced", RANGES),
];
const create = alone("watch-create", `creation of ${MANY_WATCHES} watches of "now" on one range`, "create", [
  "--ranges=1",
  "--start=now",
]);
const memory = alone("watch-memory", `memory of ${MANY_WATCHES} watchers of one key`, "memory", [
  "--ranges=0",
]);

/** Those with a table of their own. */
export const watchMeasurements: readonly Measured[] = [...fanOuts, create];

export interface WatchBenchPlan {
  readonly stage: Stage;
  readonly rounds: number;
  /** About how long a measurement lasts. */
  readonly seconds: number;
  readonly figures: Figures;
  readonly signal: AbortSignal;
  progress(line: string): void;
  failed(line: string): void;
  /** Between two rounds. */
  afterRound(): Promise<void>;
}

export async function measureWatch(plan: WatchBenchPlan): Promise<void> {
  const { stage } = plan;
  const contenders = [
    stage.direct,
    await stage.contender("etcd", stage.etcdGrpcProxy()),
    await stage.contender("ours", stage.ourGrpcProxy()),
  ];
  const seconds = plan.seconds * LOAD_SHARE;
  // The round before the first is the warm-up, and leaves no figures.
  for (let round = -1; round < plan.rounds; round++) {
    for (const measurement of fanOuts) {
      for (const contender of contenders) {
        await measureOne(plan, round, measurement, contender, round < 0 ? seconds * LOAD_SHARE : seconds);
      }
    }
    if (round >= 0 && round < ROUNDS_MAX_ALONE) {
      await measureOne(plan, round, create, stage.direct, seconds);
      await measureAlone(plan, round, create);
      await measureAlone(plan, round, memory);
    }
    await plan.afterRound();
  }
}

/** Measures both proxies, each as a process that has done nothing yet. */
async function measureAlone(
  plan: WatchBenchPlan,
  round: number,
  measurement: WatchMeasurement,
): Promise<void> {
  const starts = {
    etcd: (): Promise<Program> => plan.stage.etcdGrpcProxy(),
    ours: (): Promise<Program> => plan.stage.ourGrpcProxy(),
  };
  for (const name of ["etcd", "ours"] as const) {
    await using program = await starts[name]();
    const { address, pid } = program;
    await measureOne(plan, round, measurement, { name, address, pid }, plan.seconds);
  }
}

async function measureOne(
  plan: WatchBenchPlan,
  round: number,
  measurement: WatchMeasurement,
  contender: Contender,
  seconds: number,
): Promise<void> {
  plan.signal.throwIfAborted();
  const step = round < 0 ? "warm-up" : `round ${round + 1} of ${plan.rounds}`;
  const what = `${step}: ${measurement.title}, ${contender.name}`;
  plan.progress(what);
  try {
    const figures = await runClients(plan.stage, measurement, contender, seconds);
    const fault = watchFault(figures);
    if (fault !== undefined) {
      // etcd's proxy is known to drop clients that cannot keep up: its figures are what it delivered.
      if (contender.name !== "etcd") throw new Error(fault);
      plan.progress(`${what}: ${fault}`);
    }
    if (round >= 0) addFigures(plan.figures, measurement, contender.name, round, figures);
  } catch (error) {
    plan.signal.throwIfAborted();
    plan.failed(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function runClients(
  stage: Stage,
  { mode, flags }: WatchMeasurement,
  contender: Contender,
  seconds: number,
): Promise<WatchFigures> {
  const { code, stdout, stderr } = await runCommand([
    process.execPath,
    PROGRAM,
    "--json",
    `--mode=${mode}`,
    `--seconds=${seconds}`,
    `--address=${contender.address}`,
    `--etcd=${stage.etcdAddress}`,
    `--etcd-pid=${stage.etcdPid}`,
    ...(contender.pid === undefined ? [] : [`--pid=${contender.pid}`]),
    ...flags,
  ]);
  if (code !== 0) throw new Error(stderr.trim() || `the clients ended with status ${code}`);
  return JSON.parse(stdout) as WatchFigures;
}

function addFigures(
  all: Figures,
  { id, operation }: { readonly id: string; readonly operation: Operation },
  contender: string,
  round: number,
  figures: WatchFigures,
): void {
  const add = (quantity: Quantity, value: number | undefined): void => {
    if (value !== undefined) all.add(id, contender, quantity, round, value);
  };
  const { events = 0, elapsedSeconds = 0, missingEvents = 0 } = figures;
  if (operation === "watch") {
    add("operationsPerSecond", figures.created / figures.createSeconds);
    add("createSeconds", figures.createSeconds);
  } else {
    add("operationsPerSecond", events / elapsedSeconds);
    if (missingEvents > 0) add("missingPercent", (100 * missingEvents) / (events + missingEvents));
  }
  add("p50Micros", figures.p50Micros);
  add("p99Micros", figures.p99Micros);
  add("proxyCpuMicros", figures.proxyCpuMicros);
  add("serverCpuMicros", figures.serverCpuMicros);
  add("clientCpuMicros", figures.clientCpuMicros);
  add("upstreamWatches", figures.upstreamWatches);
  add("bytesPerWatcher", figures.bytesPerWatcher);
}
