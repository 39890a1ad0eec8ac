import { expect, test } from "bun:test";
import { calm, calmReport as report } from "./calm-report.ts";
import type { Outage } from "./outage-catalogue.ts";
import { failedCalls, outageTables, seconds } from "./outage-table.ts";

const outage: Outage = {
  id: "kill",
  title: "a member is killed",
  happen: () => Promise.resolve(),
  silenceMaxMs: 1_000,
  callsFail: true,
};

test("each product has a table, and each outage a line for either maker", () => {
  const ours = { maker: "etcdproxy", product: "gateway" } as const;
  const lines = outageTables([
    { outage, contender: ours, report },
    { outage, contender: { ...ours, maker: "etcd" }, report: "no etcd | at all" },
    { outage, contender: { ...ours, product: "grpc-proxy" }, report },
  ]);
  expect(lines.filter((line) => line.startsWith("#"))).toEqual(["### gateway", "### grpc-proxy"]);
  expect(lines[4]).toBe(
    "| a member is killed | etcdproxy | 0.03 s | 0.03 s | 0.03 s | 0.03 s | none | none | none | none |",
  );
  expect(lines[5]).toBe("|  | etcd | did not run: no etcd / at all |");
});

test("what was lost is told along with what there was", () => {
  const lossy = { ...report, lostWrites: ["one"], lostLeases: ["a", "b"], missedEvents: 3, doubledEvents: 1 };
  const [, , , , line] = outageTables([
    { outage, contender: { maker: "etcd", product: "gateway" }, report: lossy },
  ]);
  expect(line).toEndWith("| none | 1 of 50 | 3, 1, 0 | 2 of 6 |");
});

test("failed calls are told by what they were, and by code", () => {
  const figures = {
    ...report.figures,
    reads: { ...calm, failed: { UNAVAILABLE: 2, UNKNOWN: 1 } },
    writes: { ...calm, failed: { DEADLINE_EXCEEDED: 4 } },
  };
  expect(failedCalls({ figures })).toBe("reads: 2 UNAVAILABLE, 1 UNKNOWN; writes: 4 DEADLINE_EXCEEDED");
});

test("a silence that only the end of the outage ended is marked", () => {
  const silences = [30, 2_340, 12_500, Infinity];
  const shown = (gotOnMeanwhile: boolean): string[] =>
    silences.map((silenceMs) => seconds(silenceMs, { gotOnMeanwhile, heldMs: 12_000 }));
  expect(shown(false)).toEqual(["0.03 s", "2.3 s", "12.5 s ⁕", "more than 75 s ⁕"]);
  expect(shown(true)).toEqual(["0.03 s", "2.3 s", "12.5 s", "more than 75 s ⁕"]);
});
