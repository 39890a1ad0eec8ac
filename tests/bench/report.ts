/**
 * The figures as tables for people: one for each measurement, one for what costs without load, one of verdicts.
 *
 * Every figure is the median of the rounds; ratios and rates show in brackets how far the rounds lay apart.
 */
import type { Figures, Quantity } from "./figures.ts";
import type { Measured, Operation } from "./measurement.ts";
import type { Spread } from "./spread.ts";
import { short, table } from "./table.ts";
import type { Verdict } from "./verdict.ts";

const KIB = 1024;
/** Bits in a gigabyte, in gigabits. */
const GBIT_PER_GB = 8;

const MICROS_PER_SECOND = 1_000_000;

/** How a rate and a cost are told for an operation. */
interface Scale {
  readonly rateUnit: string;
  readonly rateFactor: number;
  readonly cpuUnit: string;
  readonly cpuFactor: number;
}

const scales: Readonly<Record<Operation, Scale>> = {
  request: { rateUnit: "requests/s", rateFactor: 1, cpuUnit: "µs/request", cpuFactor: 1 },
  connection: { rateUnit: "connections/s", rateFactor: 1, cpuUnit: "µs/connection", cpuFactor: 1 },
  handshake: { rateUnit: "handshakes/s", rateFactor: 1, cpuUnit: "µs/handshake", cpuFactor: 1 },
  event: { rateUnit: "events/s", rateFactor: 1, cpuUnit: "µs/event", cpuFactor: 1 },
  watch: { rateUnit: "watches/s", rateFactor: 1, cpuUnit: "µs/watch", cpuFactor: 1 },
  heartbeat: { rateUnit: "heartbeats/s", rateFactor: 1, cpuUnit: "µs/heartbeat", cpuFactor: 1 },
  GB: { rateUnit: "Gbit/s", rateFactor: GBIT_PER_GB, cpuUnit: "ms/GB", cpuFactor: 1e-3 },
};

/** "12.3 (11.9–12.8)"; empty without a spread. */
function withRange(spread: Spread | undefined, factor = 1): string {
  if (spread === undefined) return "";
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => short(value * factor));
  return min === max ? `${median}` : `${median} (${min}–${max})`;
}

function median(spread: Spread | undefined, factor: number): string {
  return spread === undefined ? "" : short(spread.median * factor);
}

/**
 * How many cores the clients, the proxy and the server kept busy, "0.98 + 0.85 + 0.12": who was the bottleneck. A
 * load program runs on one core; when it fills that, the rate is its own and no longer the proxy's.
 */
function busyCores(figures: Figures, measurement: string, contender: string): string {
  const rate = figures.spread(measurement, contender, "operationsPerSecond");
  if (rate === undefined) return "";
  const cores = (["clientCpuMicros", "proxyCpuMicros", "serverCpuMicros"] as const)
    .map((quantity) => figures.spread(measurement, contender, quantity))
    .map((cpu) => (cpu === undefined ? "–" : ((cpu.median * rate.median) / MICROS_PER_SECOND).toFixed(2)));
  return cores.join(" + ");
}

/** The table of one measurement. */
export function measurementTable(measurement: Measured, figures: Figures): string[] {
  const { rateUnit, rateFactor, cpuUnit, cpuFactor } = scales[measurement.operation];
  const names = figures.contenders(measurement.id);
  const rows = names.map((name) => {
    const figure = (quantity: Quantity): Spread | undefined => figures.spread(measurement.id, name, quantity);
    const ratio = (base: string, quantity: Quantity): string =>
      name === base ? "" : withRange(figures.ratio(measurement.id, name, base, quantity));
    return [
      name,
      withRange(figure("operationsPerSecond"), rateFactor),
      median(figure("p50Micros"), 1),
      median(figure("p99Micros"), 1),
      median(figure("proxyCpuMicros"), cpuFactor),
      median(figure("serverCpuMicros"), cpuFactor),
      median(figure("clientCpuMicros"), cpuFactor),
      busyCores(figures, measurement.id, name),
      median(figure("upstreamCallsShare"), 1),
      median(figure("upstreamStreams"), 1),
      median(figure("upstreamWatches"), 1),
      median(figure("missingPercent"), 1),
      ratio("direct", "operationsPerSecond"),
      ratio("etcd", "operationsPerSecond"),
      ratio("etcd", "proxyCpuMicros"),
    ];
  });
  const head = [
    "",
    rateUnit,
    "p50 µs",
    "p99 µs",
    `proxy ${cpuUnit}`,
    `server ${cpuUnit}`,
    `clients ${cpuUnit}`,
    "cores clients + proxy + server",
    `at etcd/${measurement.operation}`,
    "streams at etcd",
    "watches at etcd",
    "% missing",
    "× direct",
    "× etcd's proxy",
    "CPU × etcd's proxy",
  ];
  return [measurement.title, ...table(head, rows)];
}

/** The table of what costs without load; empty when nothing of it was measured. */
export function idleTable(figures: Figures): string[] {
  const lines: readonly (readonly [
    title: string,
    measurement: string,
    quantity: Quantity,
    factor: number,
  ])[] = [
    ["gateway: KiB for each idle connection", "idle-gateway", "bytesPerConnection", 1 / KIB],
    ["grpc-proxy: KiB for each idle connection", "idle-grpc-proxy", "bytesPerConnection", 1 / KIB],
    ["grpc-proxy: bytes for each of 10 000 watchers of one key", "watch-memory", "bytesPerWatcher", 1],
    ["grpc-proxy: watches at etcd for them", "watch-memory", "upstreamWatches", 1],
    ["gateway: how many connections that was", "idle-gateway", "connections", 1],
    ["grpc-proxy: how many connections that was", "idle-grpc-proxy", "connections", 1],
    ["gateway: ms from start to ready", "start-gateway", "startMs", 1],
    ["grpc-proxy: ms from start to ready", "start-grpc-proxy", "startMs", 1],
  ];
  const names = (["ours", "etcd", "haproxy", "nginx"] as const).filter((name) =>
    lines.some(([, measurement]) => figures.contenders(measurement).includes(name)),
  );
  const rows = lines
    .filter(([, measurement]) => figures.contenders(measurement).length > 0)
    .map(([title, measurement, quantity, factor]) => [
      title,
      ...names.map((name) => withRange(figures.spread(measurement, name, quantity), factor)),
    ]);
  return rows.length === 0 ? [] : table(["without load", ...names], rows);
}

interface Unit {
  readonly unit: string;
  readonly factor: number;
}

const RATIO: Unit = { unit: "×", factor: 1 };
/** How quantities are told that a target bounds by themselves. */
const absoluteUnits: Partial<Record<Quantity, Unit>> = {
  bytesPerConnection: { unit: "KiB", factor: 1 / KIB },
  startMs: { unit: "ms", factor: 1 },
  createSeconds: { unit: "s", factor: 1 },
  missingPercent: { unit: "%", factor: 1 },
};

/** The table of targets. */
export function verdictTable(verdicts: readonly Verdict[]): string[] {
  const rows = verdicts.map(({ target, outcome, close, value, bestRival }) => {
    const { bound } = target;
    const { unit, factor } =
      target.against === undefined ? (absoluteUnits[target.quantity] ?? { unit: "", factor: 1 }) : RATIO;
    const wanted = "atLeast" in bound ? `≥ ${short(bound.atLeast)}` : `≤ ${short(bound.atMost * factor)}`;
    return [
      bestRival === undefined ? target.title : `${target.title}: ${bestRival}`,
      withRange(value, factor),
      `${wanted} ${unit}`.trimEnd(),
      close ? `${outcome}, close` : outcome,
    ];
  });
  return table(["target", "value", "wanted", ""], rows);
}
