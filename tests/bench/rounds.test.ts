import { expect, test } from "bun:test";
import { Figures } from "./figures.ts";
import type { Contender, LoadResult, Measurement } from "./measurement.ts";
import { runRounds } from "./rounds.ts";

const contender: Contender = { name: "direct", address: "127.0.0.1:1" };

/** The figures of one round of loads that all come to `result`. */
async function figuresOf(result: LoadResult, rest: Partial<Measurement> = {}): Promise<Figures> {
  const figures = new Figures();
  const measurement: Measurement = {
    id: "put",
    title: "puts",
    part: "kv",
    operation: "request",
    contenders: [contender],
    serverPid: process.pid,
    firstOperations: 10,
    run: () => Promise.resolve(result),
    ...rest,
  };
  const failures: string[] = [];
  await runRounds({
    measurements: [measurement],
    rounds: 1,
    seconds: 1,
    figures,
    signal: new AbortController().signal,
    progress() {},
    failed: (line) => void failures.push(line),
    afterRound: () => Promise.resolve(),
  });
  expect(failures).toEqual([]);
  return figures;
}

test("the calls that reach the server are told for one of the clients'", async () => {
  let calls = 0;
  const figures = await figuresOf(
    { operations: 200, elapsedSeconds: 1 },
    { upstreamCalls: () => Promise.resolve((calls += 50)) },
  );
  expect(figures.rounds("put", "direct", "upstreamCallsShare")).toEqual([0.25]);
});

test("what the load's program measured itself goes before what was measured around it", async () => {
  const figures = await figuresOf({
    operations: 200,
    elapsedSeconds: 2,
    latency: { p50Micros: 1, p99Micros: 2 },
    told: { serverCpuMicros: 7.5, clientCpuMicros: 2.5, proxyCpuMicros: undefined },
  });
  const of = (quantity: Parameters<Figures["rounds"]>[2]): readonly unknown[] =>
    figures.rounds("put", "direct", quantity);
  expect([of("serverCpuMicros"), of("clientCpuMicros"), of("proxyCpuMicros")]).toEqual([[7.5], [2.5], []]);
  expect([of("operationsPerSecond"), of("p99Micros")]).toEqual([[100], [2]]);
});
