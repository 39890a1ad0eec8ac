import { expect, test } from "bun:test";
import { watchFault, type WatchFigures, watchFiguresLine } from "./watch-figures.ts";

const whole: WatchFigures = {
  mode: "burst",
  watches: 1000,
  created: 1000,
  createSeconds: 0.25,
  upstreamWatches: 1,
  puts: 500,
  events: 500_000,
  elapsedSeconds: 0.5,
  missingEvents: 0,
  faultyWatches: 0,
  ended: {},
  p50Micros: 1500,
  p99Micros: 25_000,
  proxyCpuMicros: 0.125,
  clientCpuMicros: undefined,
};

test("a load of which every watch got its events is without fault", () => {
  expect(watchFault(whole)).toBeUndefined();
  expect(watchFiguresLine(whole)).toBe(
    "burst: 1 000 watches in 0.25 s, 1.00 at etcd, 1 000 000 events/s (500 000 of 500 puts in 0.50 s), " +
      "p50 1.50 ms, p99 25.0 ms, CPU each: proxy 0.125 µs",
  );
});

test("whatever a watch lacks or has too much is a fault", () => {
  const ended = { "status 1 context canceled": 2 };
  expect(watchFault({ ...whole, created: 999 })).toBe("only 999 of 1000 watches created");
  expect(watchFault({ ...whole, missingEvents: 7 })).toBe("7 events missing");
  expect(watchFault({ ...whole, faultyWatches: 1 })).toBe("1 watches got other events than they should");
  expect(watchFault({ ...whole, ended })).toBe("2 streams ended: status 1 context canceled");
  expect(watchFiguresLine({ ...whole, missingEvents: 7, ended })).toEndWith(
    ", FAULT: 7 events missing, 2 streams ended: status 1 context canceled",
  );
});
