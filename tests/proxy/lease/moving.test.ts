/** Upstream streams that are lost, left, or not to be had at all. */
import { afterEach, describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { LeaseWorld, LOST, UNREACHABLE } from "./lease-world.ts";

let world = new LeaseWorld();

function begin(...options: ConstructorParameters<typeof LeaseWorld>): LeaseWorld {
  world = new LeaseWorld(...options);
  return world;
}

afterEach(() => expect(world.violations).toEqual([]));

describe("a connection that is lost", () => {
  test("its heartbeats are sent again in their order, with those that waited behind them", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n, 2n, 3n);
    world.turn();
    second!.send(2n);
    world.latest.answer();
    world.latest.end(LOST, "lost");
    world.turn();
    expect(world.latest.inFlight).toEqual([2n, 3n]);
    world.answerAll();
    expect([first!.answers, second!.answers]).toEqual([[1n, 2n, 3n], [2n]]);
  });

  test("those of clients that have gone are not", () => {
    begin();
    const [gone, here] = world.connectMany(2);
    gone!.send(1n, 2n);
    here!.send(2n);
    world.turn();
    gone!.cancel();
    world.latest.end(LOST, "lost");
    world.clock.advance(50);
    expect(world.latest.inFlight).toEqual([2n]);
  });
});

describe("a channel that turns to another connection", () => {
  test("new heartbeats take a stream there at once, and the old one may finish its answers", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(7n);
    world.turn();
    const old = world.latest;
    second!.send(7n);
    old.supersede();
    world.turn();
    expect([old.inFlight, old.halfClosed, world.latest.inFlight]).toEqual([[7n], true, [7n]]);
    first!.send(8n);
    world.turn();
    expect(world.latest.inFlight).toEqual([7n, 8n]);
    old.answer();
    world.turn();
    expect([first!.answers, old.over]).toEqual([[7n], true]);
    world.answerAll();
    expect([first!.answers, second!.answers]).toEqual([[7n, 8n], [7n]]);
  });

  test("what the old one has not answered after two seconds is sent again, and the old one is cancelled", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(7n, 8n);
    world.turn();
    const old = world.latest;
    old.supersede();
    second!.send(7n);
    world.turn();
    world.clock.advance(1999);
    expect([old.cancelled, world.latest.inFlight]).toEqual([false, [7n]]);
    world.clock.advance(1);
    // 7 is in flight there for the second client: the first one's waits behind it.
    expect([old.cancelled, world.latest.inFlight]).toEqual([true, [7n, 8n]]);
    world.answerAll();
    expect([first!.answers, second!.answers]).toEqual([[7n, 8n], [7n]]);
  });

  test("an idle stream is left at once, and a new one is opened only when there is a heartbeat", () => {
    begin();
    const client = world.connect();
    client.send(7n);
    world.answerAll();
    world.latest.supersede();
    world.answerAll();
    expect([world.calls.length, world.openCalls.length]).toEqual([1, 0]);
    client.send(7n);
    world.answerAll();
    expect([world.calls.length, client.answers]).toEqual([2, [7n, 7n]]);
  });

  test("a stream that requires a leader is opened there at once", () => {
    begin();
    world.connect({ requiresLeader: true });
    world.turn();
    world.latest.supersede();
    world.turn();
    expect(world.openCalls.map(({ halfClosed }) => halfClosed)).toEqual([true, false]);
  });

  test("a status that ends the old stream is that of its oldest heartbeat", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    second!.send(2n);
    world.turn();
    world.latest.supersede();
    const denied = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
    world.calls[0]!.end(denied);
    world.answerAll();
    expect([first!.status, second!.status, second!.answers]).toEqual([denied, undefined, [2n]]);
  });
});

describe("while no member can be reached", () => {
  test("a heartbeat waits five seconds, then its stream ends UNAVAILABLE; idle streams stay", () => {
    begin();
    world.reachable = false;
    const [asking, idle, late] = world.connectMany(3);
    asking!.send(7n);
    world.turn();
    world.clock.advance(3000);
    late!.send(7n);
    world.turn();
    world.clock.advance(1999);
    expect(asking!.status).toBeUndefined();
    world.clock.advance(1);
    expect([asking!.status, late!.status, idle!.status]).toEqual([UNREACHABLE, undefined, undefined]);
    world.clock.advance(3000);
    expect(late!.status).toEqual(UNREACHABLE);
    world.reachable = true;
    world.latest.reach();
    world.turn();
    expect(world.latest.sent).toEqual([]);
    idle!.send(8n);
    world.answerAll();
    expect(idle!.answers).toEqual([8n]);
  });

  test("it waits so long from the loss of the stream that carried it", () => {
    begin();
    const client = world.connect();
    client.send(7n);
    world.turn();
    world.clock.advance(60_000);
    world.reachable = false;
    world.latest.end(LOST, "lost");
    world.turn();
    world.clock.advance(4999);
    expect(client.status).toBeUndefined();
    world.clock.advance(1);
    expect(client.status).toEqual(UNREACHABLE);
  });

  test("it goes on when the channel gives a stream up and a later one is carried", () => {
    begin();
    world.reachable = false;
    const client = world.connect();
    client.send(7n);
    world.turn();
    world.latest.end(UNREACHABLE, "unreachable");
    world.clock.advance(3000);
    expect(client.status).toBeUndefined();
    world.latest.reach();
    world.answerAll();
    expect(client.answers).toEqual([7n]);
  });

  test("nothing is kept of clients that come and go", () => {
    begin();
    world.reachable = false;
    for (let i = 0; i < 1000; i++) {
      const client = world.connect();
      client.send(BigInt(i));
      world.turn();
      client.cancel();
    }
    world.clock.advance(10_000);
    expect([world.hub.stats.clientStreams, world.hub.stats.upstreamStreams, world.clock.timers]).toEqual([
      0, 0, 0,
    ]);
  });

  test("a stream that requires a leader waits, and its clients hear nothing", () => {
    begin();
    world.reachable = false;
    const idle = world.connect({ requiresLeader: true });
    world.turn();
    for (let round = 0; round < 5; round++) {
      world.latest.end(UNREACHABLE, "unreachable");
      world.clock.advance(5000);
    }
    expect([idle.status, world.openCalls.length]).toEqual([undefined, 1]);
  });
});

test("a hub that is closed ends its calls and opens no more", () => {
  begin();
  const client = world.connect();
  client.send(7n);
  world.turn();
  world.hub.close();
  client.send(8n);
  world.turn();
  world.clock.advance(10_000);
  expect([world.calls.length, world.latest.cancelled, world.hub.stats.upstreamStreams]).toEqual([1, true, 0]);
});
