/** A member ends a stream: who hears of it, and what is sent again. */
import { afterEach, describe, expect, test } from "bun:test";
import { Code, type Status } from "../../../src/grpc/status.ts";
import { answerOf } from "./lease-client.ts";
import { LeaseWorld, LOST } from "./lease-world.ts";

let world = new LeaseWorld();

function begin(...options: ConstructorParameters<typeof LeaseWorld>): LeaseWorld {
  world = new LeaseWorld(...options);
  return world;
}

afterEach(() => expect(world.violations).toEqual([]));

const BAD_TOKEN = { code: Code.UNAUTHENTICATED, message: "etcdserver: invalid auth token" };
const DENIED = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
const TIMED_OUT = { code: Code.UNAVAILABLE, message: "etcdserver: request timed out" };
const NO_LEADER = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
const STOPPED = { code: Code.UNAVAILABLE, message: "etcdserver: server stopped" };

function statuses(): (Status | undefined)[] {
  return world.clients.map(({ status }) => status);
}

describe("a status that ends an upstream stream", () => {
  test("is that of the oldest heartbeat without an answer; the others are sent again unseen", () => {
    begin();
    const clients = world.connectMany(4);
    for (const [index, client] of clients.entries()) client.send(BigInt(index));
    world.turn();
    world.latest.answer();
    world.latest.end(DENIED);
    world.answerAll();
    expect(statuses()).toEqual([undefined, DENIED, undefined, undefined]);
    expect(clients.map(({ answers }) => answers)).toEqual([[0n], [], [2n], [3n]]);
    expect(world.calls.map(({ sent }) => sent.map(({ id }) => id))).toEqual([
      [0n, 1n, 2n, 3n],
      [2n, 3n],
    ]);
  });

  test("ends all client streams that share that heartbeat, and none of those that wait behind it", () => {
    begin();
    const [first, second, behind] = world.connectMany(3);
    first!.send(7n);
    second!.send(7n);
    world.turn();
    behind!.send(7n);
    world.latest.end(DENIED);
    world.answerAll();
    expect(statuses()).toEqual([DENIED, DENIED, undefined]);
    expect(behind!.answers).toEqual([7n]);
  });

  test("ends its client stream behind the answers to what that asked before", () => {
    begin();
    const [other, client] = world.connectMany(2);
    other!.send(1n);
    world.turn();
    client!.send(1n, 2n, 3n);
    world.turn();
    world.latest.answer();
    // 2 is the oldest without an answer; 1 was asked for before it and is sent again.
    world.latest.end(DENIED);
    world.turn();
    expect(client!.status).toBeUndefined();
    expect(world.latest.inFlight).toEqual([1n]);
    world.answerAll();
    expect([client!.answers, client!.status]).toEqual([[1n], DENIED]);
  });

  test("comes to every client, one after another, when each has cause for one", () => {
    begin();
    const clients = world.connectMany(100, { token: "expired" });
    const good = world.connect({ token: "good" });
    for (const [index, client] of clients.entries()) client.send(BigInt(index));
    good.send(1n);
    for (let round = 0; round < 100; round++) {
      world.turn();
      world.openCalls.find(({ token }) => token === "expired")!.end(BAD_TOKEN);
    }
    world.answerAll();
    expect(clients.every(({ status }) => status === BAD_TOKEN)).toBe(true);
    expect([good.answers, good.status]).toEqual([[1n], undefined]);
    // What is sent behind the cause of the next one is sent in vain: few are.
    expect(world.hub.stats.resentHeartbeats).toBeLessThan(100 * 16);
  });

  test("is nobody's when nothing is under way, or when nobody waits for what it is about", () => {
    begin();
    const [gone, here] = world.connectMany(2);
    here!.send(1n);
    world.answerAll();
    world.latest.end(STOPPED);
    world.clock.advance(100);
    gone!.send(2n);
    world.turn();
    here!.send(3n);
    world.turn();
    gone!.cancel();
    world.latest.end(DENIED);
    world.answerAll();
    expect([here!.answers, here!.status]).toEqual([[1n, 3n], undefined]);
  });

  test("is not shown to the client of an idle stream, which goes on when it asks again", () => {
    begin();
    const client = world.connect();
    client.send(1n);
    world.answerAll();
    world.latest.end(TIMED_OUT);
    world.clock.advance(10_000);
    client.send(1n);
    world.answerAll();
    expect([client.answers, world.calls.length]).toEqual([[1n, 1n], 2]);
  });
});

describe("a status of a member in trouble", () => {
  test("is that of every heartbeat in flight for five seconds; younger ones are sent again", () => {
    begin();
    const [oldest, old, young, behind] = world.connectMany(4);
    oldest!.send(1n);
    old!.send(2n);
    world.turn();
    world.clock.advance(2001);
    young!.send(3n);
    behind!.send(2n);
    world.turn();
    world.clock.advance(4999);
    world.latest.end(TIMED_OUT);
    world.turn();
    expect(statuses()).toEqual([TIMED_OUT, TIMED_OUT, undefined, undefined]);
    expect(new Set(world.latest.inFlight)).toEqual(new Set([2n, 3n]));
    world.answerAll();
    expect([young!.answers, behind!.answers]).toEqual([[3n], [2n]]);
  });

  test("counts the time from the first sending, whatever streams it was sent on", () => {
    begin();
    const [first, second, third] = world.connectMany(3);
    first!.send(1n);
    second!.send(2n);
    third!.send(3n);
    world.turn();
    world.clock.advance(3000);
    world.latest.end(TIMED_OUT);
    world.turn();
    world.clock.advance(3000);
    world.latest.end(TIMED_OUT);
    expect(statuses()).toEqual([TIMED_OUT, TIMED_OUT, TIMED_OUT]);
  });

  test("is one heartbeat's alone when it speaks of a single request", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    second!.send(2n);
    world.turn();
    world.clock.advance(10_000);
    world.latest.end(DENIED);
    world.answerAll();
    expect(statuses()).toEqual([DENIED, undefined]);
  });
});

describe("`no leader`", () => {
  test("ends all client streams that require a leader, idle ones too, and no others", () => {
    begin();
    const requiring = world.connectMany(3, { requiresLeader: true });
    const other = world.connect();
    requiring[0]!.send(1n);
    other.send(2n);
    world.turn();
    world.calls.find(({ requiresLeader }) => requiresLeader)!.end(NO_LEADER);
    expect(statuses()).toEqual([NO_LEADER, NO_LEADER, NO_LEADER, undefined]);
    world.answerAll();
    world.clock.advance(20_000);
    expect([other.answers, world.openCalls.length, world.hub.stats.leases]).toEqual([[2n], 1, 0]);
  });

  test("ends the stream of a client that comes later and requires a leader", () => {
    begin();
    world.connect({ requiresLeader: true });
    world.turn();
    world.latest.end(NO_LEADER);
    world.clock.advance(3000);
    const late = world.connect({ requiresLeader: true });
    world.turn();
    world.latest.end(NO_LEADER);
    expect(late.status).toEqual(NO_LEADER);
  });

  test("of a stream that is not used any more ends nothing", () => {
    begin();
    const client = world.connect({ requiresLeader: true });
    client.send(1n);
    world.turn();
    world.latest.supersede();
    world.turn();
    world.calls[0]!.end(NO_LEADER);
    world.answerAll();
    expect([client.answers, client.status]).toEqual([[1n], undefined]);
  });

  test("is watched for again when the stream that requires a leader ends for another reason", () => {
    begin();
    const idle = world.connect({ requiresLeader: true });
    world.turn();
    world.latest.end(LOST, "lost");
    world.clock.advance(50);
    expect(world.openCalls).toHaveLength(1);
    world.latest.end(NO_LEADER);
    expect(idle.status).toEqual(NO_LEADER);
  });
});

describe("a member that breaks the protocol", () => {
  test.each([
    ["answers about another lease", answerOf(8n, 1)],
    ["answers about a lease that is next to it beyond 2^53", answerOf(2n ** 62n + 1n, 1)],
    ["sends a malformed answer", Uint8Array.of(0x12)],
  ])("%s: the stream is ended, its heartbeat is sent again", (_what, answer) => {
    begin();
    const client = world.connect();
    client.send(2n ** 62n);
    world.turn();
    world.latest.say(answer);
    expect(world.calls[0]!.cancelled).toBe(true);
    world.clock.advance(50);
    world.answerAll();
    expect([client.answers, world.calls.length]).toEqual([[2n ** 62n], 2]);
  });

  test("and answers once too often: the stream is ended, and nobody hears it", () => {
    begin();
    const client = world.connect();
    client.send(7n);
    world.answerAll();
    world.latest.say(answerOf(7n, 1));
    expect([world.latest.cancelled, client.answers]).toEqual([true, [7n]]);
  });

  test.each([
    ["loses", LOST, "lost"],
    ["ends OK", { code: Code.OK, message: "" }, "status"],
  ] as const)(
    "%s every stream: it is tried again after growing pauses, and then the client is told",
    (_what, status, how) => {
      begin();
      const client = world.connect();
      client.send(7n);
      const pauses: number[] = [];
      for (let round = 0; client.status === undefined; round++) {
        expect(round).toBeLessThan(20);
        world.turn();
        const before = world.clock.nowMs();
        const calls = world.calls.length;
        world.latest.end(status, how);
        for (let ms = 0; ms < 4000 && world.calls.length === calls && client.status === undefined; ms += 5)
          world.clock.advance(5);
        pauses.push(world.clock.nowMs() - before);
      }
      expect(client.status).toEqual(status);
      expect(pauses).toEqual([25, 50, 100, 200, 400, 0]);
    },
  );
});
