/** The proxy stops: streams of heartbeats end behind the answers to what has come. */
import { afterEach, describe, expect, test } from "bun:test";
import { STOPPING } from "../../../src/proxy/endless-calls.ts";
import { LeaseWorld } from "./lease-world.ts";

let world = new LeaseWorld();
afterEach(() => expect(world.violations).toEqual([]));

function dismissAll(): void {
  for (const call of world.hub.dismissNew(STOPPING)) call.dismiss(STOPPING);
}

describe("a stream of heartbeats that is dismissed", () => {
  test("ends at once where none is under way", () => {
    world = new LeaseWorld();
    const client = world.connect();
    client.send(1n);
    world.answerAll();
    dismissAll();
    expect(client.answers).toEqual([1n]);
    expect(client.status).toEqual(STOPPING);
  });

  test("ends behind the answers to those that have come, whether they were sent on or not", () => {
    world = new LeaseWorld();
    const client = world.connect();
    client.send(1n);
    world.turn();
    client.send(2n);
    dismissAll();
    client.send(3n);
    world.turn();
    expect(client.status).toBeUndefined();
    world.answerAll();
    expect(client.answers).toEqual([1n, 2n]);
    expect(client.status).toEqual(STOPPING);
  });

  test("ends behind the answers to those that have come and were not even read", () => {
    // One heartbeat is many: what comes behind it is gathered.
    world = new LeaseWorld({ sendIntervalMs: 40, manyHeartbeats: 1 });
    const client = world.connect();
    client.send(1n);
    world.turn();
    client.send(2n);
    world.turn();
    client.send(3n);
    dismissAll();
    world.answerAll();
    world.clock.advance(40);
    world.answerAll();
    expect(client.answers).toEqual([1n, 2n, 3n]);
    expect(client.status).toEqual(STOPPING);
  });

  test("and one that comes later ends as it comes", () => {
    world = new LeaseWorld();
    dismissAll();
    expect(world.connect().status).toEqual(STOPPING);
    expect(world.hub.stats.clientStreams).toBe(0);
  });
});
