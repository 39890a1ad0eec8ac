/** Whatever is lost, late or failed against the promise is told, and nothing else. */
import { expect, test } from "bun:test";
import { calm, calmReport } from "./calm-report.ts";
import { brokenPromises } from "./outage-promise.ts";
import type { OutageReport } from "./outage-run.ts";

const contender = { maker: "etcdproxy", product: "gateway" } as const;
const outage = { silenceMaxMs: 5_000, callsFail: true };

function broken(changed: Partial<OutageReport>, how = outage): string[] {
  return brokenPromises(contender, how, { ...calmReport, ...changed });
}

function reads(changed: Partial<typeof calm>): Partial<OutageReport> {
  return { figures: { ...calmReport.figures, reads: { ...calm, ...changed } } };
}

test("nothing is wrong with an outage that nobody noticed", () => {
  expect(broken({})).toEqual([]);
});

test.each([
  ["an acknowledged write is lost", { lostWrites: ["key"] }],
  ["a read is older than a write", { staleReads: ["read"] }],
  ["a watch is told wrong", { watchViolations: ["event"] }],
  ["a lease is lost", { lostLeases: ["lease"] }],
  ["an event is missed", { missedEvents: 1 }],
  ["an event is told twice", { doubledEvents: 1 }],
  ["an event is out of place", { misplacedEvents: 1 }],
  ["clients have to wait for its end", { gotOnMeanwhile: false }],
  ["clients are unanswered for too long", reads({ silenceMs: 5_001 })],
  ["clients are never answered again", reads({ silenceMs: Infinity })],
])("the promise is broken when %s", (_what, changed) => {
  expect(broken(changed)).toHaveLength(1);
});

test("calls may fail where something fails, and only there, unless it is etcd that refuses them", () => {
  const failing = (details: string): Partial<OutageReport> =>
    reads({ failed: { UNAVAILABLE: 1 }, details: { UNAVAILABLE: details } });
  const calm = { ...outage, callsFail: false };
  expect(broken(failing("connection lost"))).toEqual([]);
  expect(broken(failing("connection lost"), calm)).toHaveLength(1);
  expect(broken(failing("14 UNAVAILABLE: etcdserver: leader changed"), calm)).toEqual([]);
});

test("the time in which etcd itself could not serve is nobody else's fault", () => {
  const late = { ...reads({ silenceMs: 6_000 }), unservedMs: 2_000 };
  expect(broken(late)).toEqual([]);
});

test("what a product cannot see may last until it is over, and no longer", () => {
  const unseen = { ...outage, seenBy: ["grpc-proxy"] as const };
  const waited = { ...reads({ silenceMs: 6_000 }), gotOnMeanwhile: false };
  expect(brokenPromises(contender, unseen, { ...calmReport, ...waited })).toEqual([]);
  expect(
    brokenPromises(contender, unseen, { ...calmReport, ...reads({ silenceMs: Infinity }) }),
  ).toHaveLength(1);
});
