import { expect, test } from "bun:test";
import { Figures, type Quantity } from "./figures.ts";
import type { Measured } from "./measurement.ts";
import { measurementTable, verdictTable } from "./report.ts";
import type { Target } from "./targets.ts";
import { judge } from "./verdict.ts";

const reads: Measured = { id: "range-one", title: "reads", part: "kv", operation: "request" };

function figuresOf(contender: string, values: Partial<Record<Quantity, number>>): Figures {
  const figures = new Figures();
  for (const [quantity, value] of Object.entries(values)) {
    figures.add("range-one", contender, quantity as Quantity, 0, value);
  }
  return figures;
}

/** The cell of the only contender in the column with this head. */
function cell(figures: Figures, head: string): string {
  const [, heads = "", , row = ""] = measurementTable(reads, figures);
  const end = heads.indexOf(head) + head.length;
  expect(heads).toContain(head);
  return row.slice(0, end).trimEnd().split(/ {2,}/).at(-1)!;
}

test("the busy cores of all sides tell who was the bottleneck", () => {
  const cpu = { clientCpuMicros: 8, proxyCpuMicros: 2.5, serverCpuMicros: 0.1 };
  const figures = figuresOf("ours", { operationsPerSecond: 120_000, ...cpu });
  expect(cell(figures, "cores clients + proxy + server")).toBe("0.96 + 0.30 + 0.01");
  const direct = figuresOf("direct", { operationsPerSecond: 50_000, serverCpuMicros: 20 });
  expect(cell(direct, "cores clients + proxy + server")).toBe("– + – + 1.00");
});

test("the calls that reach etcd are told for one of the clients'", () => {
  const figures = figuresOf("ours", { operationsPerSecond: 1, upstreamCallsShare: 0.125 });
  expect(cell(figures, "at etcd/request")).toBe("0.13");
});

test("handshakes are told by the second, and by the processor time of one", () => {
  const figures = figuresOf("ours", { operationsPerSecond: 1900, proxyCpuMicros: 210 });
  const [, heads, , row] = measurementTable({ ...reads, part: "tls", operation: "handshake" }, figures);
  expect(heads).toMatch(/handshakes\/s .*proxy µs\/handshake/);
  expect(row).toMatch(/^ours +1 900 +210 /);
});

test("a target against the best rival tells who that was", () => {
  const target: Target = {
    title: "reads",
    measurement: "range-one",
    quantity: "operationsPerSecond",
    against: "best rival",
    bound: { atLeast: 1 },
  };
  const figures = figuresOf("ours", { operationsPerSecond: 30 });
  figures.add("range-one", "nginx", "operationsPerSecond", 0, 20);
  expect(verdictTable([judge(target, figures)]).at(-1)).toMatch(/^reads: nginx +1\.50 +≥ 1\.00 × +met$/);
});

test("a count that has no unit is told without one", () => {
  const target: Target = {
    title: "streams",
    measurement: "range-one",
    quantity: "upstreamStreams",
    bound: { atMost: 1 },
  };
  const figures = figuresOf("ours", { upstreamStreams: 500 });
  expect(verdictTable([judge(target, figures)]).at(-1)).toMatch(/^streams +500 +≤ 1\.00 +missed$/);
});
