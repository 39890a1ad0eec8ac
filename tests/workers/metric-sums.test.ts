import { beforeEach, expect, test } from "bun:test";
import { DurationHistogram } from "../../src/base/duration-histogram.ts";
import { Metrics, type MetricValues } from "../../src/observe/metrics.ts";
import { MetricSums } from "../../src/workers/metric-sums.ts";
import { readExposition, valueOf } from "../harness/exposition.ts";

/** What one worker counts. */
class WorkerMetrics {
  calls = 0;
  clients = 0;
  readonly durations = new DurationHistogram();
  readonly #metrics = new Metrics();

  constructor() {
    this.#metrics.counters("test_calls_total", "Calls.", ["kind"], () => [
      { labels: { kind: "read" }, value: this.calls },
    ]);
    this.#metrics.gauges("etcdproxy_client_connections", "Clients.", ["listener", "protocol"], () => [
      { labels: { listener: "clients", protocol: "http1" }, value: this.clients },
      { labels: { listener: "clients", protocol: "http2" }, value: 1 },
    ]);
    this.#metrics.gauge("test_ends_seconds", "The first end.", () => 100 - this.clients, "min");
    this.#metrics.counter("test_cpu_seconds_total", "Of the process.", () => 7 + this.calls, "max");
    this.#metrics.untyped("test_keys_total", "Up and down.", () => this.clients);
    this.#metrics.durations("test_handling_seconds", "How long calls took.", ["kind"], () => [
      { labels: { kind: "read" }, durations: this.durations },
    ]);
  }

  values(): Promise<MetricValues> {
    return this.#metrics.values();
  }
}

let sums: MetricSums;
let workers: WorkerMetrics[];

beforeEach(() => {
  sums = new MetricSums(2);
  workers = [new WorkerMetrics(), new WorkerMetrics()];
});

/** The page, with what is told by those workers that are not `silent`, read. */
async function page(...silent: number[]) {
  const told = await Promise.all(
    workers.map(async (worker, index) =>
      silent.includes(index) ? null : structuredClone(await worker.values()),
    ),
  );
  const families = readExposition(await sums.page(() => Promise.resolve(told)));
  return (series: string): number | undefined =>
    families.has(series.replace(/\{.*/, ""))
      ? valueOf(families, series)
      : families.get("test_handling_seconds")?.samples.get(series);
}

const CALLS = 'test_calls_total{kind="read"}';
const CLIENTS = 'etcdproxy_client_connections{listener="clients",protocol="http1"}';

test("durations are put together bucket by bucket, and go on counting after a death", async () => {
  workers[0]!.durations.add(3);
  workers[0]!.durations.add(700);
  workers[1]!.durations.add(3);
  const value = await page();
  const told = (name: string, le?: string): number | undefined =>
    value(`test_handling_seconds_${name}{kind="read"${le === undefined ? "" : `,le="${le}"`}}`);
  expect([told("bucket", "0.0025"), told("bucket", "0.005"), told("bucket", "+Inf")]).toEqual([0, 2, 3]);
  expect([told("count"), told("sum")]).toEqual([3, 0.706]);
  await sums.onDeath(0);
  workers[0] = new WorkerMetrics();
  workers[0].durations.add(20_000);
  const later = await page();
  expect(later('test_handling_seconds_bucket{kind="read",le="10"}')).toBe(3);
  expect(later('test_handling_seconds_count{kind="read"}')).toBe(4);
});

test("each metric is put together as it was declared", async () => {
  Object.assign(workers[0]!, { calls: 3, clients: 10 });
  Object.assign(workers[1]!, { calls: 4, clients: 20 });
  const value = await page();
  expect(value(CALLS)).toBe(7);
  expect(value(CLIENTS)).toBe(30);
  expect(value("test_keys_total")).toBe(30);
  expect(value("test_ends_seconds")).toBe(80);
  expect(value("test_cpu_seconds_total")).toBe(11);
});

test("the page tells which workers answer, and how many clients each has", async () => {
  Object.assign(workers[0]!, { clients: 10 });
  const value = await page(1);
  expect(value('etcdproxy_worker_up{worker="0"}')).toBe(1);
  expect(value('etcdproxy_worker_up{worker="1"}')).toBe(0);
  expect(value('etcdproxy_worker_client_connections{worker="0"}')).toBe(11);
  expect(value('etcdproxy_worker_client_connections{worker="1"}')).toBe(0);
});

test("what a worker counted goes on counting while it does not answer; what it holds does not", async () => {
  Object.assign(workers[0]!, { calls: 3, clients: 10 });
  Object.assign(workers[1]!, { calls: 4, clients: 20 });
  await page();
  workers[0]!.calls = 5;
  const value = await page(1);
  expect(value(CALLS)).toBe(9);
  expect(value(CLIENTS)).toBe(10);
});

test("counters never go down when workers die, however often", async () => {
  for (let life = 1; life <= 3; life++) {
    workers[1]!.calls = 4;
    expect((await page())(CALLS)).toBe(4 * life);
    workers[1] = new WorkerMetrics();
    await sums.onDeath(1);
    const value = await page();
    expect(value(CALLS)).toBe(4 * life);
    expect(value("test_cpu_seconds_total")).toBe(11);
    expect(value("etcdproxy_worker_deaths_total")).toBe(life);
  }
});

test("the process started when its main thread did, however often its workers start", async () => {
  const startedAt = performance.timeOrigin / 1000;
  const later = new Metrics();
  later.gauge("process_start_time_seconds", "Of a worker.", () => startedAt + 60, "min");
  const families = readExposition(await sums.page(async () => [await later.values(), null]));
  expect(valueOf(families, "process_start_time_seconds")).toBeCloseTo(startedAt, 3);
});

test("nothing is told of a worker that was never asked before it died", async () => {
  workers[1]!.calls = 4;
  await sums.onDeath(1);
  workers[1] = new WorkerMetrics();
  expect((await page())(CALLS)).toBe(0);
});

test("workers that die at the same time are all counted on", async () => {
  Object.assign(workers[0]!, { calls: 3 });
  Object.assign(workers[1]!, { calls: 4 });
  await page();
  workers = [new WorkerMetrics(), new WorkerMetrics()];
  const deaths = [sums.onDeath(0), sums.onDeath(1)];
  expect((await page())(CALLS)).toBe(7);
  await Promise.all(deaths);
  expect((await page())(CALLS)).toBe(7);
});

test("calls that a worker took with it have ended, as their clients see it", async () => {
  const workerWithCalls = (started: number, ok: number, cut: number): Metrics => {
    const metrics = new Metrics();
    const method = { grpc_service: "etcdserverpb.Watch", grpc_method: "Watch" };
    metrics.counters(
      "grpc_server_started_total",
      "Calls that began.",
      ["grpc_service", "grpc_method"],
      () => [{ labels: method, value: started }],
    );
    metrics.counters(
      "grpc_server_handled_total",
      "Calls that ended.",
      ["grpc_service", "grpc_method", "grpc_code"],
      () => [
        { labels: { ...method, grpc_code: "OK" }, value: ok },
        { labels: { ...method, grpc_code: "Unavailable" }, value: cut },
      ],
    );
    return metrics;
  };
  const told = async (worker: Metrics): Promise<number[]> => {
    const families = readExposition(await sums.page(async () => [await worker.values(), null]));
    const labels = 'grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
    return [
      valueOf(families, `grpc_server_started_total{${labels}}`),
      valueOf(families, `grpc_server_handled_total{${labels},grpc_code="OK"}`),
      valueOf(families, `grpc_server_handled_total{${labels},grpc_code="Unavailable"}`),
    ];
  };
  expect(await told(workerWithCalls(10, 4, 1))).toEqual([10, 4, 1]);
  await sums.onDeath(0);
  expect(await told(workerWithCalls(3, 2, 1))).toEqual([13, 6, 7]);
  await sums.onDeath(0);
  expect(await told(workerWithCalls(0, 0, 0))).toEqual([13, 6, 7]);
});

test("a worker that dies between its answer and the page is not counted twice", async () => {
  workers[1]!.calls = 4;
  await page();
  const answers = await Promise.all(workers.map((worker) => worker.values()));
  const families = readExposition(
    await sums.page(async () => {
      await sums.onDeath(1);
      return answers;
    }),
  );
  expect(valueOf(families, CALLS)).toBe(4);
  workers[1] = new WorkerMetrics();
  expect((await page())(CALLS)).toBe(4);
});
