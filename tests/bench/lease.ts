/**
 * The measurements of leases through grpc-proxy: 500 clients that keep ten leases each alive.
 *
 * Each load is one run of `programs/lease-clients.ts`, which checks and times the answer to every heartbeat. What was
 * found about etcd's proxy (3.5.16), and how the loads heed it:
 * - It keeps every lease alive itself, every third of its time to live, and answers clients' heartbeats only when it
 *   has: after a second at worst with the 3 seconds used here. So what it costs is measured with heartbeats at the
 *   pace of Go's clients, once a second; a closed loop would measure its waiting. How many heartbeats can pass is
 *   asked of the others only.
 * - Its stream to etcd outlives its clients. So each load has proxies of its own, and the growth of open streams at
 *   etcd is theirs.
 */
import { join } from "node:path";
import { runCommand } from "../harness/child-process.ts";
import type { Figures, Quantity } from "./figures.ts";
import { leaseFault, type LeaseFigures, type LeaseMode } from "./lease-load/lease-figures.ts";
import type { Contender, ContenderName, Measured } from "./measurement.ts";
import type { Stage } from "./stage.ts";

const PROGRAM = join(import.meta.dir, "programs", "lease-clients.ts");
const LOAD_DEADLINE_MS = 180_000;
/** A paced load takes so many times as long as others: 5000 heartbeats a second cost a proxy little time. */
const PACED_LONGER = 2;

interface LeaseMeasurement extends Measured {
  readonly mode: LeaseMode;
  readonly contenders: readonly ContenderName[];
}

export const leaseMeasurements: readonly LeaseMeasurement[] = [
  {
    id: "lease-paced",
    title: "grpc-proxy: 5000 leases of 500 clients, a heartbeat a second for each",
    part: "lease",
    operation: "heartbeat",
    mode: "paced",
    contenders: ["direct", "etcd", "ours"],
  },
  {
    id: "lease-burst",
    title: "grpc-proxy: 5000 leases of 500 clients, heartbeats as soon as the last ones are answered",
    part: "lease",
    operation: "heartbeat",
    mode: "burst",
    contenders: ["direct", "ours"],
  },
];

export interface LeaseBenchPlan {
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

export async function measureLease(plan: LeaseBenchPlan): Promise<void> {
  for (let round = 0; round < plan.rounds; round++) {
    for (const measurement of leaseMeasurements) {
      for (const name of measurement.contenders) await measureOne(plan, round, measurement, name);
    }
    await plan.afterRound();
  }
}

async function measureOne(
  plan: LeaseBenchPlan,
  round: number,
  measurement: LeaseMeasurement,
  name: ContenderName,
): Promise<void> {
  plan.signal.throwIfAborted();
  const what = `round ${round + 1} of ${plan.rounds}: ${measurement.title}, ${name}`;
  plan.progress(what);
  try {
    await using started = new AsyncDisposableStack();
    const contender = await startContender(plan.stage, name, started);
    const longer = measurement.mode === "paced" ? PACED_LONGER : 1;
    const figures = await runClients(plan.stage, measurement.mode, contender, plan.seconds * longer);
    const fault = leaseFault(figures);
    if (fault !== undefined) plan.progress(`${what}: ${fault}`);
    // What is missing is a figure, as is all that etcd's proxy does.
    const worse = leaseFault({ ...figures, sent: figures.answered });
    if (worse !== undefined && name !== "etcd") throw new Error(worse);
    addFigures(plan.figures, measurement.id, name, round, figures);
  } catch (error) {
    plan.signal.throwIfAborted();
    plan.failed(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function startContender(
  stage: Stage,
  name: ContenderName,
  started: AsyncDisposableStack,
): Promise<Contender> {
  if (name === "direct") return stage.direct;
  const { address, pid } = started.use(
    await (name === "etcd" ? stage.etcdGrpcProxy() : stage.ourGrpcProxy()),
  );
  return { name, address, pid };
}

async function runClients(
  stage: Stage,
  mode: LeaseMode,
  { address, pid }: Contender,
  seconds: number,
): Promise<LeaseFigures> {
  const command = [
    process.execPath,
    PROGRAM,
    "--json",
    `--mode=${mode}`,
    `--seconds=${seconds}`,
    `--address=${address}`,
    `--etcd=${stage.etcdAddress}`,
    `--etcd-pid=${stage.etcdPid}`,
    ...(pid === undefined ? [] : [`--pid=${pid}`]),
  ];
  const { code, stdout, stderr } = await runCommand(command, { deadlineMs: LOAD_DEADLINE_MS });
  if (code !== 0) throw new Error(stderr.trim() || `the clients ended with status ${code}`);
  return JSON.parse(stdout) as LeaseFigures;
}

function addFigures(
  all: Figures,
  measurement: string,
  contender: string,
  round: number,
  figures: LeaseFigures,
): void {
  const { sent, answered, elapsedSeconds } = figures;
  const quantities: Partial<Record<Quantity, number | undefined>> = {
    operationsPerSecond: answered / elapsedSeconds,
    missingPercent: (100 * (sent - answered)) / sent,
    p50Micros: figures.p50Micros,
    p99Micros: figures.p99Micros,
    proxyCpuMicros: figures.proxyCpuMicros,
    serverCpuMicros: figures.serverCpuMicros,
    clientCpuMicros: figures.clientCpuMicros,
    upstreamCallsShare: figures.upstreamCallsShare,
    upstreamStreams: figures.upstreamStreams,
  };
  for (const [quantity, value] of Object.entries(quantities)) {
    if (value !== undefined) all.add(measurement, contender, quantity as Quantity, round, value);
  }
}
