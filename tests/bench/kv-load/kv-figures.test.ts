import { expect, test } from "bun:test";
import { kvFiguresLine } from "./kv-figures.ts";

test("figures are told in one line, those that there are", () => {
  const figures = {
    calls: 200_000,
    reads: 180_000,
    elapsedSeconds: 2,
    p50Micros: 850,
    p99Micros: 2500,
    clientCpuMicros: 2.5,
  };
  const line =
    "100 000 calls/s (200 000 in 2.00 s, 180 000 of them reads), p50 850 µs, p99 2 500 µs, clients 2.50 µs";
  expect(kvFiguresLine(figures)).toBe(line);
  expect(kvFiguresLine({ ...figures, proxyCpuMicros: 4, upstreamCallsShare: 0.1 })).toBe(
    line.replace("clients", "CPU each: proxy 4.00 µs, clients") + ", 0.10 Range calls at etcd a read",
  );
});
