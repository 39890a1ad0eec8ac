/**
 * Under any interleaving of clients that ask, cancel and half-close with members that answer, end streams, are lost
 * and left, each client stream sees what a stream of its own at etcd would show.
 *
 * The model world checks at each step that answers come once for each request, in order, from a heartbeat that was
 * sent after its request, and that nothing goes upstream for nobody or twice at once.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Code, type Status } from "../../src/grpc/status.ts";
import type { LeaseClient } from "../proxy/lease/lease-client.ts";
import { LeaseWorld, LOST, UNREACHABLE } from "../proxy/lease/lease-world.ts";
import { runs } from "./runs.ts";

const OK = { code: Code.OK, message: "" };
const DENIED = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
const TIMED_OUT = { code: Code.UNAVAILABLE, message: "etcdserver: request timed out" };
const NO_LEADER = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
const STATUSES: readonly Status[] = [DENIED, TIMED_OUT, NO_LEADER];

const LIMITS = { clientHeartbeatsMax: 4, inFlightMax: 5, inFlightAfterStatusMax: 2 };
/** Heartbeats and answers are sent at once, or wait for more to go with them. */
const pacings = fc.constantFrom(
  {},
  { sendIntervalMs: 10, holdMs: 5, manyHeartbeats: 3, pieceHeartbeatsGoal: 5 },
);
const LEASES = 4;

/** A step: what happens, to which of those that it could happen to, and how much of it. */
const KINDS = [
  "connect",
  "ask",
  "ask",
  "ask",
  "half-close",
  "cancel",
  "read",
  "turn",
  "turn",
  "answer",
  "answer",
  "answer",
  "status",
  "lose",
  "supersede",
  "malformed",
  "unreachable",
  "reachable",
  "narrow",
  "drain",
  "time",
] as const;
type Step = { readonly kind: (typeof KINDS)[number]; readonly which: number; readonly amount: number };
const steps = fc.array(
  fc.record({ kind: fc.constantFrom(...KINDS), which: fc.nat(1000), amount: fc.nat(1000) }),
  { maxLength: 120, size: "max" },
);

function pick<Item>(items: readonly Item[], which: number): Item | undefined {
  return items[which % Math.max(1, items.length)];
}

function idsOf({ which, amount }: Step): bigint[] {
  return Array.from({ length: 1 + (amount % 3) }, (_, i) => BigInt((which + i * amount) % LEASES));
}

function connect(world: LeaseWorld, { which, amount }: Step): void {
  world.connect({
    token: which % 3 === 0 ? "a" : "",
    requiresLeader: amount % 4 === 0,
    windowBytes: amount % 5 === 0 ? amount % 60 : Number.POSITIVE_INFINITY,
  });
}

function run(world: LeaseWorld, step: Step): void {
  const { which, amount } = step;
  const clients = world.clients.filter(({ open }) => open);
  const call = pick(world.openCalls, which);
  const asking = pick(
    clients.filter(({ halfClosed }) => !halfClosed),
    which,
  );
  switch (step.kind) {
    case "connect":
      return connect(world, step);
    case "ask":
      return asking?.send(...idsOf(step));
    case "half-close":
      return asking?.halfClose();
    case "cancel":
      return pick(clients, which)?.cancel();
    case "read":
      return pick(clients, which)?.read(amount);
    case "turn":
      return world.turn();
    case "answer":
      return call?.answer(1 + (amount % 3));
    case "status":
      return call?.end(pick(STATUSES, amount)!);
    case "lose":
      return call?.reached === true ? call.end(LOST, "lost") : call?.end(UNREACHABLE, "unreachable");
    case "supersede":
      return call?.reached === true ? call.supersede() : undefined;
    case "malformed":
      return call?.say(Uint8Array.of(0x12));
    case "unreachable":
      world.reachable = false;
      return;
    case "reachable":
      world.reachable = true;
      return call?.reach();
    case "narrow":
      if (call !== undefined) call.windowBytes = amount % 20;
      return;
    case "drain":
      return call?.drain(amount % 40);
    case "time":
      return world.clock.advance(amount * 3);
  }
}

/** All trouble is over: everything is answered, and read. */
function heal(world: LeaseWorld): void {
  world.reachable = true;
  const unhealed = (): boolean => world.clients.some((client) => client.open && client.waitsFor.length > 0);
  for (let round = 0; round < 12 || (round < 500 && unhealed()); round++) {
    for (const call of world.openCalls) {
      call.reach();
      call.drain();
    }
    for (const client of world.clients) if (client.open) client.read(1_000_000);
    world.answerAll();
    world.clock.advance(500);
  }
}

/** What is wrong with a client now that all is healed. */
function faultOf({ name, asked, answers, status, halfClosed, cancelled }: LeaseClient): string[] {
  if (cancelled) return [];
  const all = answers.length === asked.length;
  if (status === undefined)
    return all && !halfClosed ? [] : [`${name} waits: ${answers.length} of ${asked.length}`];
  if (status.code === Code.OK) {
    return all ? [] : [`${name} was ended OK: ${answers.length} of ${asked.length} are answered`];
  }
  const mayEnd = [...STATUSES, LOST, UNREACHABLE].includes(status) || status.code === Code.INTERNAL;
  return mayEnd ? [] : [`${name} was ended: ${status.message}`];
}

test("each client stream gets one answer for each request, in order, and nothing is left behind", () => {
  fc.assert(
    fc.property(steps, pacings, (walk, pacing) => {
      const world = new LeaseWorld({ ...LIMITS, ...pacing });
      world.connectMany(2);
      world.connectMany(2, { requiresLeader: true });
      for (const step of walk) run(world, step);
      heal(world);
      expect(world.violations).toEqual([]);
      expect(world.clients.flatMap(faultOf)).toEqual([]);

      const { stats } = world.hub;
      expect(stats.upstreamHeartbeats - stats.resentHeartbeats).toBeLessThanOrEqual(stats.clientHeartbeats);
      for (const client of world.clients) {
        if (client.open) expect(client.call.consumedBytes).toBe(client.call.sentBytes);
        client.cancel();
      }
      world.clock.advance(1000);
      world.answerAll();
      world.clock.advance(2000);
      expect([
        stats.clientStreams,
        stats.upstreamStreams,
        world.openCalls.length,
        world.clock.timers,
      ]).toEqual([0, 0, 0, 0]);
      expect(world.clients.map(({ call }) => call.retainedBytes).filter((bytes) => bytes !== 0)).toEqual([]);
    }),
    { numRuns: runs(400) },
  );
});

test("without trouble among the members no client stream is ended", () => {
  const peaceful = new Set<Step["kind"]>(["status", "malformed", "unreachable", "lose"]);
  fc.assert(
    fc.property(steps, pacings, (walk, pacing) => {
      const world = new LeaseWorld({ ...LIMITS, ...pacing });
      world.connectMany(3);
      for (const step of walk) if (!peaceful.has(step.kind)) run(world, step);
      heal(world);
      expect(world.violations).toEqual([]);
      for (const client of world.clients) {
        if (client.cancelled) continue;
        expect(client.answers).toHaveLength(client.asked.length);
        expect(client.status).toEqual(client.halfClosed ? OK : undefined);
      }
      expect(world.hub.stats.upstreamHeartbeats).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: runs(200) },
  );
});
