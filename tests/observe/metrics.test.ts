import { describe, expect, test } from "bun:test";
import { DURATION_BOUNDS, DurationHistogram } from "../../src/base/duration-histogram.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { type Family, readExposition, valueOf } from "../harness/exposition.ts";

async function read(metrics: Metrics): Promise<Map<string, Family>> {
  return readExposition(await metrics.text());
}

describe("a metric", () => {
  test("is what it is when the page is made", async () => {
    const metrics = new Metrics();
    let open = 1;
    metrics.gauge("open", "Open things.", () => open);
    expect(valueOf(await read(metrics), "open")).toBe(1);
    open = 3;
    expect(valueOf(await read(metrics), "open")).toBe(3);
    open = 0;
    expect(valueOf(await read(metrics), "open")).toBe(0);
  });

  test("is not looked up while nobody asks", async () => {
    const metrics = new Metrics();
    let reads = 0;
    metrics.counter("reads_total", "Reads.", () => ++reads);
    expect(reads).toBe(0);
    await metrics.text();
    expect(reads).toBe(1);
  });

  test("has its type and its help", async () => {
    const metrics = new Metrics();
    metrics.gauge("a", "An a.", () => 1);
    metrics.counter("b_total", "A b.", () => 2);
    metrics.untyped("c_total", "A c that goes down, too.", () => 3);
    const families = await read(metrics);
    expect([...families].map(([name, { type, help }]) => [name, type, help])).toEqual([
      ["a", "gauge", "An a."],
      ["b_total", "counter", "A b."],
      ["c_total", "untyped", "A c that goes down, too."],
    ]);
    expect(["a", "b_total", "c_total"].map((name) => valueOf(families, name))).toEqual([1, 2, 3]);
  });

  test("with labels has those that are told now, and no others", async () => {
    const metrics = new Metrics();
    let names = ["a", 'b"\\\n'];
    metrics.gauges("things", "Things.", ["name"], () =>
      names.map((name) => ({ labels: { name }, value: 1 })),
    );
    expect([...(await read(metrics)).get("things")!.samples.keys()]).toEqual([
      'things{name="a"}',
      'things{name="b\\"\\\\\\n"}',
    ]);
    names = ["c"];
    expect([...(await read(metrics)).get("things")!.samples.keys()]).toEqual(['things{name="c"}']);
    names = [];
    expect([...(await read(metrics)).get("things")!.samples.keys()]).toEqual([]);
  });

  test("that cannot be looked up fails the page", async () => {
    const metrics = new Metrics();
    metrics.gauge("broken", "Broken.", () => {
      throw new Error("it is broken");
    });
    expect(await metrics.text().catch((error: unknown) => error)).toMatchObject({ message: "it is broken" });
  });
});

describe("durations", () => {
  test("are a histogram in seconds, whose buckets hold those below", async () => {
    const metrics = new Metrics();
    const durations = new DurationHistogram();
    metrics.durations("handling_seconds", "How long it took.", ["kind"], () => [
      { labels: { kind: "read" }, durations },
      { labels: { kind: "never" }, durations: new DurationHistogram() },
    ]);
    for (const ms of [0.05, 3, 4, 100_000]) durations.add(ms);
    const { type, samples } = (await read(metrics)).get("handling_seconds")!;
    expect(type).toBe("histogram");
    const bucket = (le: string): number | undefined =>
      samples.get(`handling_seconds_bucket{kind="read",le="${le}"}`);
    expect(["0.0001", "0.0025", "0.005", "10", "+Inf"].map(bucket)).toEqual([1, 1, 3, 3, 4]);
    expect(samples.get('handling_seconds_count{kind="read"}')).toBe(4);
    expect(samples.get('handling_seconds_sum{kind="read"}')).toBeCloseTo(100.00705);
    // What never happened has no rows.
    expect(samples.size).toBe(DURATION_BOUNDS.length + 3);
  });
});

describe("a counter", () => {
  test("is told in whole, not what came since the last page", async () => {
    const metrics = new Metrics();
    let count = 5;
    metrics.counter("calls_total", "Calls.", () => count);
    await metrics.text();
    count = 7;
    expect(valueOf(await read(metrics), "calls_total")).toBe(7);
  });

  test("never goes down, each of its series by itself", async () => {
    const metrics = new Metrics();
    let counts = { a: 5, b: 1 };
    metrics.counters("calls_total", "Calls.", ["name"], () =>
      Object.entries(counts).map(([name, value]) => ({ labels: { name }, value })),
    );
    await metrics.text();
    counts = { a: 3, b: 4 };
    const families = await read(metrics);
    expect(valueOf(families, 'calls_total{name="a"}')).toBe(5);
    expect(valueOf(families, 'calls_total{name="b"}')).toBe(4);
  });
});

test("metrics of two proxies in one process know nothing of each other", async () => {
  const [one, other] = [new Metrics(), new Metrics()];
  one.gauge("same", "The same name.", () => 1);
  other.gauge("same", "The same name.", () => 2);
  expect(valueOf(await read(one), "same")).toBe(1);
  expect(valueOf(await read(other), "same")).toBe(2);
});
