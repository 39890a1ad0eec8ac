/** One client's stream: order, half-close, what is no request, and what it may hold. */
import { afterEach, describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { requestOf } from "./lease-client.ts";
import { LeaseWorld } from "./lease-world.ts";

let world = new LeaseWorld();

function begin(...options: ConstructorParameters<typeof LeaseWorld>): LeaseWorld {
  world = new LeaseWorld(...options);
  return world;
}

afterEach(() => expect(world.violations).toEqual([]));

const OK = { code: Code.OK, message: "" };

describe("answers", () => {
  test("come in the order of the requests, though another client's heartbeat came first", () => {
    begin();
    const [other, client] = world.connectMany(2);
    other!.send(1n);
    world.turn();
    client!.send(1n, 2n);
    world.turn();
    // 1 for the other client, then 2, whose predecessor is not answered yet.
    world.latest.answer(2);
    world.turn();
    expect(client!.answers).toEqual([]);
    world.answerAll();
    expect(client!.answers).toEqual([1n, 2n]);
  });

  test("of one turn leave in one piece, with the head once", () => {
    begin();
    const client = world.connect();
    client.send(1n, 2n, 3n);
    world.answerAll();
    client.send(3n);
    world.answerAll();
    expect([client.answers, client.call.heads]).toEqual([[1n, 2n, 3n, 3n], 1]);
  });

  test("to one lease asked for twice in a row are two", () => {
    begin();
    const client = world.connect();
    client.send(7n, 7n);
    world.answerAll();
    expect([client.answers, world.latest.sent.length]).toEqual([[7n, 7n], 1]);
  });
});

describe("a half-close", () => {
  test("is followed by the answers to what came before, and OK", () => {
    begin();
    const client = world.connect();
    client.send(1n, 2n);
    client.halfClose();
    world.turn();
    expect(client.status).toBeUndefined();
    world.answerAll();
    expect([client.answers, client.status]).toEqual([[1n, 2n], OK]);
  });

  test("without a request ends the stream OK at once", () => {
    begin();
    const client = world.connect();
    client.halfClose();
    expect(client.status).toEqual(OK);
  });

  test("within a request ends the stream INTERNAL", () => {
    begin();
    const client = world.connect();
    client.sendBytes(framed(requestOf(7n)).subarray(0, 4));
    client.halfClose();
    expect(client.status).toEqual({ code: Code.INTERNAL, message: "unexpected EOF" });
  });
});

describe("what is no LeaseKeepAliveRequest", () => {
  test.each([
    ["a number that is cut short", Uint8Array.of(0x08, 0x80), "an id is cut short"],
    ["a tag of no field", Uint8Array.of(0x00), "0 is not the tag of a field"],
    ["an id that is no number", Uint8Array.of(0x0a, 0x00), "field ID has the wire type 2"],
    [
      "a number of eleven bytes",
      new Uint8Array(12).fill(0x80).fill(0x08, 0, 1),
      "an id has more than ten bytes",
    ],
  ])("%s ends the stream INTERNAL, behind the answers to what came before", (_what, message, reason) => {
    begin();
    const client = world.connect();
    client.send(7n);
    client.sendBytes(framed(message));
    expect(client.status).toBeUndefined();
    world.answerAll();
    expect([client.answers, client.status]).toEqual([
      [7n],
      { code: Code.INTERNAL, message: `grpc: failed to unmarshal the received message ${reason}` },
    ]);
  });

  test("a message that is too large ends the stream RESOURCE_EXHAUSTED", () => {
    begin({}, 100);
    const client = world.connect();
    client.sendBytes(framed(new Uint8Array(101)));
    expect(client.status).toEqual({
      code: Code.RESOURCE_EXHAUSTED,
      message: "grpc: received message larger than max (101 vs. 100)",
    });
  });

  test("a compressed message ends the stream INTERNAL", () => {
    begin();
    const client = world.connect();
    client.sendBytes(Uint8Array.of(1, 0, 0, 0, 0));
    expect(client.status).toEqual({
      code: Code.INTERNAL,
      message: "grpc: compressed flag set with identity or empty encoding",
    });
  });

  test("does not disturb others", () => {
    begin();
    const [bad, good] = world.connectMany(2);
    good!.send(7n);
    bad!.sendBytes(framed(Uint8Array.of(0)));
    world.answerAll();
    expect([bad!.status?.code, good!.answers, world.calls.length]).toEqual([Code.INTERNAL, [7n], 1]);
  });
});

describe("a client that does not read", () => {
  const SENT = 1000;

  test("is listened to up to a bound, and holds nobody up", () => {
    begin({ clientHeartbeatsMax: 10 });
    const stalled = world.connect({ windowBytes: 0 });
    const other = world.connect();
    for (let i = 0; i < SENT; i++) stalled.send(BigInt(i + 1));
    world.answerAll();
    expect(world.hub.stats.clientHeartbeats).toBe(10);
    expect(stalled.call.consumedBytes).toBe(0);
    other.send(1n);
    world.answerAll();
    expect(other.answers).toEqual([1n]);
  });

  test("is answered everything once it reads, and has its credit back", () => {
    begin({ clientHeartbeatsMax: 10 });
    const stalled = world.connect({ windowBytes: 0 });
    for (let i = 0; i < SENT; i++) stalled.send(BigInt(i + 1));
    world.answerAll();
    const { retainedBytes } = stalled.call;
    expect(retainedBytes).toBeGreaterThan(stalled.call.sentBytes);
    for (let round = 0; stalled.answers.length < SENT; round++) {
      stalled.read(100);
      world.answerAll();
      expect(round).toBeLessThan(SENT);
    }
    stalled.read(1_000_000);
    expect(stalled.call.consumedBytes).toBe(stalled.call.sentBytes);
    expect(stalled.call.retainedBytes).toBe(0);
  });

  test("gives everything back when it goes", () => {
    begin({ clientHeartbeatsMax: 10 });
    const stalled = world.connect({ windowBytes: 7 });
    for (let i = 0; i < 100; i++) stalled.send(BigInt(i + 1));
    world.answerAll();
    stalled.cancel();
    expect([stalled.call.retainedBytes, world.hub.stats.clientStreams]).toEqual([0, 0]);
  });

  test("and asks on and on while it reads a little never holds more than what it has sent unread", () => {
    begin({ clientHeartbeatsMax: 4 });
    const slow = world.connect({ windowBytes: 0 });
    for (let i = 0; i < 300; i++) {
      slow.send(BigInt(i + 1), BigInt(i + 1));
      world.answerAll();
      slow.read(80);
      world.answerAll();
    }
    slow.read(1_000_000);
    world.answerAll();
    expect(slow.answers).toHaveLength(600);
  });
});

describe("credit", () => {
  test("comes back when an answer has left, not before", () => {
    begin();
    const client = world.connect();
    client.send(7n);
    world.turn();
    expect(client.call.consumedBytes).toBe(0);
    world.answerAll();
    expect(client.call.consumedBytes).toBe(client.call.sentBytes);
  });

  test("is given at once for a request that is not whole when nothing else is under way", () => {
    begin();
    const client = world.connect();
    const large = framed(Uint8Array.of(0x08, 0x07, 0x12, 0x64, ...new Uint8Array(100)));
    client.sendBytes(large.subarray(0, 60));
    expect(client.call.consumedBytes).toBe(60);
    client.sendBytes(large.subarray(60));
    expect(client.call.consumedBytes).toBe(60);
  });
});
