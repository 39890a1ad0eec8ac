import { expect, test } from "bun:test";
import { Figures } from "./figures.ts";
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
