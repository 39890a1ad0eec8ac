import { describe, expect, test } from "bun:test";
import { Figures } from "./figures.ts";
import type { ContenderName } from "./measurement.ts";
import type { Target } from "./targets.ts";
import { judge } from "./verdict.ts";

const faster: Target = {
  title: "twice as fast",
  measurement: "put",
  quantity: "operationsPerSecond",
  against: "etcd",
  bound: { atLeast: 2 },
};
const smaller: Target = {
  title: "at most 20 KiB",
  measurement: "idle",
  quantity: "bytesPerConnection",
  bound: { atMost: 20_480 },
};

function rates(ours: readonly number[], etcd: readonly number[]): Figures {
  const figures = new Figures();
  ours.forEach((rate, round) => figures.add("put", "ours", "operationsPerSecond", round, rate));
  etcd.forEach((rate, round) => figures.add("put", "etcd", "operationsPerSecond", round, rate));
  return figures;
}

test("the median of the rounds' ratios decides", () => {
  expect(judge(faster, rates([21, 24, 30], [10, 10, 10])).outcome).toBe("met");
  expect(judge(faster, rates([15, 19, 19], [10, 10, 10])).outcome).toBe("missed");
});

test("a verdict is close when a round says otherwise", () => {
  expect(judge(faster, rates([19, 24, 30], [10, 10, 10]))).toMatchObject({ outcome: "met", close: true });
  expect(judge(faster, rates([20, 24, 30], [10, 10, 10]))).toMatchObject({ outcome: "met", close: false });
});

describe("against the best rival", () => {
  const measured = (medians: Partial<Record<ContenderName, number>>): Figures => {
    const figures = new Figures();
    for (const [name, value] of Object.entries(medians)) {
      figures.add("put", name, "operationsPerSecond", 0, value);
      figures.add("put", name, "p50Micros", 0, value);
    }
    return figures;
  };
  const level: Target = { ...faster, against: "best rival", bound: { atLeast: 1 } };
  const asQuick: Target = { ...level, quantity: "p50Micros", bound: { atMost: 1 } };
  const figures = measured({ ours: 20, direct: 90, floor: 80, etcd: 10, haproxy: 25, nginx: 16 });

  test("of a rate, the highest counts", () => {
    expect(judge(level, figures)).toMatchObject({
      outcome: "missed",
      bestRival: "haproxy",
      value: { median: 0.8 },
    });
  });

  test("of a latency, the lowest counts", () => {
    expect(judge(asQuick, figures)).toMatchObject({
      outcome: "missed",
      bestRival: "etcd",
      value: { median: 2 },
    });
  });

  test("those that are not installed do not", () => {
    expect(judge(level, measured({ ours: 20, etcd: 10 }))).toMatchObject({
      outcome: "met",
      bestRival: "etcd",
    });
    expect(judge(level, measured({ ours: 20, direct: 10 }))).toMatchObject({ outcome: "not measured" });
  });
});

test("without a base, the figure itself is held against the bound", () => {
  const figures = new Figures();
  figures.add("idle", "ours", "bytesPerConnection", 0, 20_481);
  expect(judge(smaller, figures)).toMatchObject({ outcome: "missed", value: { median: 20_481 } });
});

test("what was not measured is neither met nor missed", () => {
  expect(judge(faster, rates([20], []))).toEqual({ target: faster, outcome: "not measured", close: false });
});

test("a round without a figure is a hole in the file of results", () => {
  const figures = new Figures();
  figures.add("put", "ours", "startMs", 1, 7);
  expect(JSON.parse(JSON.stringify(figures))).toEqual({ put: { ours: { startMs: [null, 7] } } });
});
