import { expect, test } from "bun:test";
import { leaseFault, type LeaseFigures, leaseFiguresLine } from "./lease-figures.ts";

const whole: LeaseFigures = {
  mode: "paced",
  leases: 5000,
  clients: 500,
  sent: 20_000,
  answered: 20_000,
  elapsedSeconds: 4,
  surplus: 0,
  dead: 0,
  ended: {},
  p50Micros: 1500,
  p99Micros: 25_000,
  proxyCpuMicros: 4.5,
  upstreamCallsShare: 0.5,
  upstreamStreams: 1,
};

test("a load of which every heartbeat was answered is without fault", () => {
  expect(leaseFault(whole)).toBeUndefined();
  expect(leaseFiguresLine(whole)).toBe(
    "paced: 5 000 leases of 500 clients, 5 000 heartbeats/s (20 000 of 20 000 in 4.00 s), p50 1.50 ms, " +
      "p99 25.0 ms, CPU each: proxy 4.50 µs, 0.50 at etcd each, on 1 streams",
  );
});

test("whatever is missing, too much or gone is a fault", () => {
  const ended = { "status 14 away": 2 };
  expect(leaseFault({ ...whole, sent: 0, answered: 0 })).toBe("no heartbeat was sent");
  expect(leaseFault({ ...whole, answered: 19_993 })).toBe("7 of 20000 heartbeats are not answered");
  expect(leaseFault({ ...whole, surplus: 3 })).toBe("3 answers to no heartbeat");
  expect(leaseFault({ ...whole, dead: 4 })).toBe("4 answers tell that a lease is gone");
  expect(leaseFault({ ...whole, ended })).toBe("2 streams ended: status 14 away");
  expect(leaseFiguresLine({ ...whole, dead: 4, ended })).toEndWith(
    ", FAULT: 4 answers tell that a lease is gone, 2 streams ended: status 14 away",
  );
});
