/** Which heartbeats go upstream, on which streams, and who shares them. */
import { afterEach, describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { LeaseWorld } from "./lease-world.ts";

let world = new LeaseWorld();

/** Begins a test with an empty world. */
function begin(...options: ConstructorParameters<typeof LeaseWorld>): LeaseWorld {
  world = new LeaseWorld(...options);
  return world;
}

afterEach(() => expect(world.violations).toEqual([]));

describe("upstream streams", () => {
  test("one carries the heartbeats of all client streams", () => {
    const { calls } = begin();
    const clients = world.connectMany(50);
    for (const [index, client] of clients.entries()) client.send(BigInt(index + 1));
    world.answerAll();
    expect(calls).toHaveLength(1);
    expect(clients.map(({ answers }) => answers)).toEqual(clients.map((_, index) => [BigInt(index + 1)]));
  });

  test("there is one for each identity, with its token, and one for callers without", () => {
    begin();
    for (const token of ["", "alice.1", "bob.2", "alice.1"]) world.connect({ token }).send(7n);
    world.turn();
    expect(world.calls.map(({ token, inFlight }) => [token, inFlight])).toEqual([
      ["", [7n]],
      ["alice.1", [7n]],
      ["bob.2", [7n]],
    ]);
  });

  test("those that require a leader are apart, and open before the first heartbeat", () => {
    begin();
    world.connect().send(7n);
    world.connect({ requiresLeader: true });
    world.turn();
    expect(world.calls.map(({ requiresLeader, inFlight }) => [requiresLeader, inFlight])).toEqual([
      [false, [7n]],
      [true, []],
    ]);
  });

  test("all heartbeats of a turn leave in one piece", () => {
    begin();
    for (const client of world.connectMany(20)) client.send(1n, 2n, BigInt(world.clients.length));
    world.turn();
    expect([world.latest.pieces, world.latest.inFlight.length]).toEqual([1, 3]);
  });

  test("none is opened by a client that has said nothing", () => {
    begin();
    world.connect();
    world.turn();
    expect(world.calls).toEqual([]);
  });

  test("is half-closed a second after its last client stream has gone, and not before", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    world.answerAll();
    first!.cancel();
    world.clock.advance(5000);
    expect(world.latest.halfClosed).toBe(false);
    second!.cancel();
    world.clock.advance(999);
    expect(world.latest.halfClosed).toBe(false);
    world.clock.advance(1);
    expect([world.latest.halfClosed, world.latest.cancelled]).toEqual([true, false]);
    world.answerAll();
    expect(world.hub.stats.upstreamStreams).toBe(0);
  });

  test("is found again by a client stream that comes within that second", () => {
    begin();
    const first = world.connect();
    first.send(1n);
    world.answerAll();
    first.cancel();
    world.clock.advance(900);
    const second = world.connect();
    second.send(1n);
    world.answerAll();
    world.clock.advance(5000);
    second.send(2n);
    world.answerAll();
    expect([world.calls.length, second.answers]).toEqual([1, [1n, 2n]]);
    second.cancel();
    world.clock.advance(1000);
    expect(world.latest.halfClosed).toBe(true);
  });

  test("is cancelled if the member does not end it", () => {
    begin();
    const client = world.connect();
    client.send(1n);
    world.answerAll();
    client.cancel();
    world.clock.advance(1000);
    world.clock.advance(2000);
    expect([world.latest.cancelled, world.hub.stats.upstreamStreams, world.clock.timers]).toEqual([
      true,
      0,
      0,
    ]);
  });
});

describe("a heartbeat", () => {
  test("is shared by all that ask for it before it is sent", () => {
    begin();
    const clients = world.connectMany(10);
    for (const client of clients) client.send(7n);
    world.turn();
    expect(world.latest.inFlight).toEqual([7n]);
    world.answerAll();
    expect(clients.every(({ answers }) => answers.length === 1)).toBe(true);
  });

  test("that comes while one for its lease is in flight waits, and is sent when that is answered", () => {
    begin();
    const [first, second, third] = world.connectMany(3);
    first!.send(7n);
    world.turn();
    second!.send(7n);
    third!.send(7n, 8n);
    world.turn();
    expect(world.latest.inFlight).toEqual([7n, 8n]);
    world.latest.answer();
    world.turn();
    expect(world.latest.inFlight).toEqual([8n, 7n]);
    expect([first, second, third].map((client) => client!.answers)).toEqual([[7n], [], []]);
    world.answerAll();
    expect([first, second, third].map((client) => client!.answers)).toEqual([[7n], [7n], [7n, 8n]]);
  });

  test("of another identity is not shared", () => {
    begin();
    const clients = [world.connect({ token: "a" }), world.connect({ token: "b" })];
    for (const client of clients) client.send(7n);
    world.turn();
    expect(world.calls.map(({ inFlight }) => inFlight)).toEqual([[7n], [7n]]);
  });

  test("is sent as it came, unknown fields and all", () => {
    begin();
    const message = Uint8Array.of(0x08, 0x07, 0x92, 0x3e, 0x02, 0xff, 0x00);
    world.connect().sendBytes(Uint8Array.of(0, 0, 0, 0, message.length, ...message));
    // Nobody of the model clients says to have asked for it.
    world.turn();
    expect([...world.latest.sent[0]!.message]).toEqual([...message]);
    expect(world.violations.splice(0)).toHaveLength(1);
    world = new LeaseWorld();
  });

  test("is dropped with its client when it was not sent yet", () => {
    begin();
    world.reachable = false;
    const [gone, here] = world.connectMany(2);
    gone!.send(1n, 2n);
    here!.send(2n);
    world.turn();
    gone!.cancel();
    world.latest.reach();
    world.turn();
    expect(world.latest.inFlight).toEqual([2n]);
  });

  test("behind one in flight is dropped with its client", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(7n);
    world.turn();
    second!.send(7n);
    second!.cancel();
    world.answerAll();
    expect(world.latest.sent).toHaveLength(1);
    first!.send(7n);
    world.answerAll();
    expect(first!.answers).toEqual([7n, 7n]);
  });

  test("whose clients have gone is answered all the same, and its answer is nobody else's", () => {
    begin();
    const [gone, late] = world.connectMany(2);
    gone!.send(7n);
    world.turn();
    gone!.cancel();
    late!.send(7n);
    world.turn();
    world.latest.answer();
    expect(late!.answers).toEqual([]);
    world.answerAll();
    expect([late!.answers, world.latest.sent.length]).toEqual([[7n], 2]);
  });

  test("waits while the stream does not take more, and can still be shared and dropped", () => {
    begin();
    const [first, second, third] = world.connectMany(3);
    first!.send(1n);
    world.turn();
    world.latest.windowBytes = 3;
    first!.send(2n);
    world.turn();
    second!.send(3n);
    third!.send(3n, 4n);
    world.turn();
    expect(world.latest.inFlight).toEqual([1n, 2n]);
    third!.cancel();
    world.latest.drain();
    world.turn();
    expect(world.latest.inFlight).toEqual([1n, 2n, 3n]);
    world.answerAll();
    expect([first!.answers, second!.answers]).toEqual([[1n, 2n], [3n]]);
  });

  test("beyond the bound of those in flight waits for an answer", () => {
    begin({ inFlightMax: 3 });
    const client = world.connect();
    client.send(1n, 2n, 3n, 4n, 5n);
    world.turn();
    expect(world.latest.inFlight).toEqual([1n, 2n, 3n]);
    world.latest.answer(1);
    world.turn();
    expect(world.latest.inFlight).toEqual([2n, 3n, 4n]);
    world.answerAll();
    expect(client.answers).toEqual([1n, 2n, 3n, 4n, 5n]);
  });

  test.each([2n ** 63n - 1n, 2n ** 63n - 2n, 2n ** 53n + 1n, 2n ** 56n, -1n, 0n, 7587862094140244241n])(
    "of the lease %d is answered",
    (id) => {
      begin();
      const client = world.connect();
      client.send(id);
      world.answerAll();
      expect([client.answers, client.status]).toEqual([[id], undefined]);
    },
  );
});

describe("what is counted", () => {
  test("tells what members were spared", () => {
    begin();
    const clients = world.connectMany(4);
    for (const client of clients) client.send(7n);
    world.turn();
    world.latest.end({ code: Code.UNAVAILABLE, message: "lost" }, "lost");
    world.clock.advance(50);
    world.answerAll();
    expect(world.hub.stats).toMatchObject({
      clientStreams: 4,
      upstreamStreams: 1,
      leases: 0,
      clientHeartbeats: 4,
      upstreamHeartbeats: 2,
      sharedHeartbeats: 3,
      resentHeartbeats: 1,
    });
  });
});
