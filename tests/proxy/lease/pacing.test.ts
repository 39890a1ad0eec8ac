/** Heartbeats that come one after another go upstream together, and so do the answers to one client's. */
import { afterEach, describe, expect, test } from "bun:test";
import { LEASE_LIMITS } from "../../../src/proxy/lease/lease-limits.ts";
import { LeaseWorld } from "./lease-world.ts";

const { sendIntervalMs, holdMs } = LEASE_LIMITS;

let world = new LeaseWorld();

function begin(): LeaseWorld {
  // One heartbeat is many.
  world = new LeaseWorld({ sendIntervalMs, holdMs, manyHeartbeats: 1 });
  return world;
}

afterEach(() => expect(world.violations).toEqual([]));

describe("heartbeats", () => {
  test("go at once after a pause", () => {
    begin();
    const client = world.connect();
    for (let round = 1; round <= 3; round++) {
      client.send(1n);
      world.turn();
      expect(world.latest.inFlight).toEqual([1n]);
      world.answerAll();
      expect(client.answers).toHaveLength(round);
      world.clock.advance(2 * sendIntervalMs);
    }
  });

  test("that come right behind a piece go together in the next, an interval later", () => {
    begin();
    const [first, second, third] = world.connectMany(3);
    first!.send(1n);
    world.turn();
    second!.send(2n);
    world.turn();
    third!.send(3n);
    world.turn();
    expect([world.latest.pieces, world.latest.inFlight]).toEqual([1, [1n]]);
    world.clock.advance(sendIntervalMs - 1);
    expect(world.latest.pieces).toBe(1);
    world.clock.advance(1);
    expect([world.latest.pieces, world.latest.inFlight]).toEqual([2, [1n, 2n, 3n]]);
  });

  test("for one lease that come meanwhile share one, since it is not sent yet", () => {
    begin();
    const clients = world.connectMany(10);
    for (const client of clients) {
      client.send(7n);
      world.turn();
      world.latest.answer(world.latest.inFlight.length);
      world.turn();
    }
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    expect(world.latest.sent).toHaveLength(2);
    expect(clients.map(({ answers }) => answers)).toEqual(clients.map(() => [7n]));
  });

  test("of a client that goes away before the next piece are not sent", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    world.turn();
    second!.send(2n);
    world.turn();
    second!.cancel();
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    expect(world.latest.sent).toHaveLength(1);
  });
});

describe("many heartbeats", () => {
  test("do not wait once they make a large piece, read or not", () => {
    begin();
    const clients = world.connectMany(20);
    clients[0]!.send(1n);
    world.turn();
    let sent = 1;
    for (const client of clients) {
      for (let burst = 0; burst < 3; burst++) {
        client.send(...Array.from({ length: 10 }, () => BigInt(1 << 30) + BigInt(++sent)));
        world.turn();
      }
    }
    expect(world.latest.pieces).toBeGreaterThan(1);
    expect(world.latest.sent.length).toBeGreaterThan(LEASE_LIMITS.pieceHeartbeatsGoal / 2);
    for (let interval = 0; interval < 5; interval++) {
      world.clock.advance(sendIntervalMs);
      world.answerAll();
    }
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    expect(clients.reduce((sum, { answers }) => sum + answers.length, 0)).toBe(sent);
  });

  test("that are not read yet when their client half-closes are answered, and it ends OK", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    world.turn();
    first!.send(2n);
    world.turn();
    second!.send(3n, 4n);
    second!.halfClose();
    world.turn();
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    expect([second!.answers, second!.status]).toEqual([[3n, 4n], { code: 0, message: "" }]);
  });

  test("that are not read yet when their client goes away are not sent, and count for nothing", () => {
    begin();
    const [first, second] = world.connectMany(2);
    first!.send(1n);
    world.turn();
    first!.send(2n);
    world.turn();
    second!.send(3n, 4n);
    second!.cancel();
    world.clock.advance(sendIntervalMs);
    world.answerAll();
    expect(world.latest.sent.map(({ id }) => id)).toEqual([1n, 2n]);
    expect(second!.call.retainedBytes).toBe(0);
  });
});

describe("answers to a client", () => {
  test("wait for those to its other heartbeats in flight, and leave in one piece", () => {
    begin();
    const client = world.connect();
    client.send(1n, 2n, 3n);
    world.turn();
    for (let count = 1; count <= 2; count++) {
      world.latest.answer(1);
      world.turn();
      expect(client.answers).toEqual([]);
    }
    world.latest.answer(1);
    world.turn();
    expect(client.answers).toEqual([1n, 2n, 3n]);
  });

  test("do not wait for long", () => {
    begin();
    const client = world.connect();
    client.send(1n, 2n);
    world.turn();
    world.latest.answer(1);
    world.turn();
    world.clock.advance(holdMs - 1);
    expect(client.answers).toEqual([]);
    world.clock.advance(1);
    expect(client.answers).toEqual([1n]);
  });

  test("do not wait for heartbeats that are not sent yet, nor for those of other clients", () => {
    begin();
    const [client, other] = world.connectMany(2);
    client!.send(1n);
    other!.send(2n);
    world.turn();
    client!.send(3n);
    world.turn();
    world.latest.answer(1);
    world.turn();
    expect(client!.answers).toEqual([1n]);
  });

  test("leave before a status that ends the stream", () => {
    begin();
    const client = world.connect();
    client.send(1n, 2n);
    world.turn();
    world.latest.answer(1);
    world.turn();
    const denied = { code: 7, message: "etcdserver: permission denied" };
    world.latest.end(denied);
    world.turn();
    expect([client.answers, client.status]).toEqual([[1n], denied]);
  });
});
