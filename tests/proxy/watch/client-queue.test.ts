import { describe, expect, test } from "bun:test";
import { controlBody } from "../../../src/etcd/watch-message.ts";
import { RESPONSE_HEAD } from "../../../src/grpc/status.ts";
import type { Subscriber } from "../../../src/proxy/watch/subscriber.ts";
import { BOUND, bodies, Client, created, eventsOf, HEADER, HUGE, LARGE, watch } from "./queue-client.ts";

const [one, two, three] = [watch(1), watch(2), watch(3)];

describe("what a client that reads is sent", () => {
  test("goes to its call at once, behind one head", () => {
    const client = new Client();
    client.queue.sendControl(1, created(5));
    client.queue.sendEvents(eventsOf("a"), [one, two]);
    client.queue.sendEvents(eventsOf("b", LARGE), [one, two]);
    expect(client.call.heads).toEqual([RESPONSE_HEAD]);
    expect(client.told).toEqual(["1: 5", "1: a", "2: a", "1: b", "2: b"]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("has no head before there is something to tell", () => {
    const client = new Client();
    client.queue.sendEvents(eventsOf("a"), []);
    expect(client.call.heads).toEqual([]);
  });

  test("reaches any number of watches", () => {
    const client = new Client();
    const watches = Array.from({ length: 1000 }, (_, id) => watch(id));
    client.queue.sendEvents(eventsOf("a", 1000), watches);
    expect(client.told).toEqual(watches.map(({ id }) => `${id}: a`));
  });

  test.each([
    ["that is copied", 10],
    ["that is not copied", LARGE],
    ["that is given in pieces", HUGE],
  ])("is whole, with a message %s", (_what, valueBytes) => {
    const client = new Client();
    client.queue.sendEvents(eventsOf("a", valueBytes), [one]);
    expect(client.responses[0]!.events[0]!.kv!.value).toHaveLength(valueBytes);
  });
});

describe("what a client that does not read is sent", () => {
  test("waits, and comes in its order", () => {
    const client = Client.waiting();
    client.queue.sendEvents(eventsOf("a"), [one, two]);
    client.queue.sendControl(3, created(7));
    client.queue.sendEvents(eventsOf("b", LARGE), [two, three]);
    client.queue.sendControl(-1, controlBody({ header: HEADER, revision: 8 }), "progress");
    client.queue.sendEvents(eventsOf("c"), [one]);
    expect(client.told).toEqual(["99: 1"]);
    client.read();
    expect(client.told).toEqual(["99: 1", "1: a", "2: a", "3: 7", "2: b", "3: b", "-1: 8", "1: c"]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("comes in the same order when it is read piece by piece", () => {
    const client = Client.waiting();
    client.queue.sendEvents(eventsOf("a", HUGE), [one, two]);
    client.queue.sendEvents(eventsOf("b"), [one]);
    client.queue.sendControl(3, created(7));
    while (client.call.leavingBytes > 0) client.readOnce();
    expect(client.told).toEqual(["99: 1", "1: a", "2: a", "1: b", "3: 7"]);
  });

  test("is held by the call one piece at a time", () => {
    const client = Client.waiting(undefined, 10 * HUGE);
    for (let i = 0; i < 100; i++) client.queue.sendEvents(eventsOf("a", HUGE / 10), [one]);
    let largest = 0;
    while (client.call.leavingBytes > 0) {
      largest = Math.max(largest, client.call.leavingBytes);
      client.readOnce();
    }
    expect(largest).toBeLessThanOrEqual(64 * 1024 + LARGE);
    expect(client.responses).toHaveLength(101);
  });

  test("is never changed once it was given to the call", () => {
    const clients = [Client.waiting(), Client.waiting()];
    const reader = new Client();
    for (const [at, client] of clients.entries()) {
      client.queue.sendEvents(eventsOf(`a${at}`), [one]);
      client.queue.sendControl(2, created(5));
      client.readOnce();
      client.readOnce();
      reader.queue.sendEvents(eventsOf("x y z"), [one, two, three]);
    }
    for (const { call } of clients) {
      expect(call.kept.length).toBeGreaterThan(1);
      for (const { before, now } of call.kept) expect(Buffer.compare(before, now)).toBe(0);
    }
  });

  test("is not mixed with what another stream is sent meanwhile", () => {
    const [waiting, sending] = [Client.waiting(), new Client()];
    waiting.queue.sendEvents(eventsOf("w"), [one, two]);
    sending.call.meanwhile = () => waiting.read();
    sending.queue.sendEvents(
      eventsOf("s", 20_000 / 2),
      Array.from({ length: 20 }, (_, id) => watch(id)),
    );
    expect(waiting.told).toEqual(["99: 1", "1: w", "2: w"]);
    expect(sending.told).toEqual(Array.from({ length: 20 }, (_, id) => `${id}: s`));
  });

  test("goes on when part of it has left", () => {
    const client = Client.waiting();
    client.queue.sendEvents(eventsOf("a"), [one]);
    client.call.takesAnswer = true;
    client.queue.onSent(client.call.leavingBytes - 1);
    expect(client.told).toEqual(["99: 1"]);
    client.queue.onSent(1);
    expect(client.told).toEqual(["99: 1", "1: a"]);
  });

  test("leaves out watches that were cancelled meanwhile", () => {
    const client = Client.waiting();
    const gone = watch(4);
    const body = eventsOf("b c", LARGE);
    client.queue.sendEvents(eventsOf("a"), [gone, one]);
    client.queue.sendEvents(body, [gone, two]);
    client.queue.sendPieces(body, body.pieces(LARGE), gone);
    gone.muted = true;
    client.read();
    expect(client.told).toEqual(["99: 1", "1: a", "2: b c"]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("goes to the watches that were named, whatever becomes of the list", () => {
    const client = Client.waiting();
    const list = [one, two];
    client.queue.sendEvents(eventsOf("a"), list);
    list.length = 0;
    client.read();
    expect(client.told).toEqual(["99: 1", "1: a", "2: a"]);
  });
});

describe("the bound of a queue", () => {
  test("may be exceeded by one message, and then the queue is full", () => {
    const client = Client.waiting();
    client.queue.sendEvents(eventsOf("a", BOUND - 1000), [one]);
    expect([client.queue.full, client.queue.roomy]).toEqual([false, false]);
    client.queue.sendEvents(eventsOf("b", BOUND - 1000), [one]);
    expect([client.queue.full, client.queue.overfull]).toEqual([true, false]);
    client.queue.sendEvents(eventsOf("c", BOUND), [one]);
    expect(client.queue.overfull).toBe(true);
    client.read();
    expect([client.queue.full, client.queue.overfull, client.queue.roomy]).toEqual([false, false, true]);
    expect(client.told).toEqual(["99: 1", "1: a", "1: b", "1: c"]);
  });

  test("leaves room again when half of it is free", () => {
    const client = Client.waiting();
    for (const key of "abcd") client.queue.sendEvents(eventsOf(key, BOUND / 4), [one]);
    expect([client.queue.full, client.queue.roomy]).toEqual([true, false]);
    const rooms: boolean[] = [];
    while (client.call.leavingBytes > 0) {
      client.readOnce();
      rooms.push(client.queue.roomy);
    }
    expect(rooms).toEqual([false, false, true, true, true]);
  });

  test("counts answers that are no events", () => {
    const client = Client.waiting();
    for (let i = 0; i < BOUND / 64; i++) client.queue.sendControl(i, created(1));
    expect(client.queue.full).toBe(true);
  });

  test("counts a body once that several watches are sent in a row", () => {
    const client = Client.waiting();
    const body = eventsOf("a", 1000);
    client.queue.sendEvents(body, [one]);
    const oneBytes = client.queue.heldBytes;
    client.queue.sendEvents(body, [two, three]);
    expect(client.queue.heldBytes - oneBytes).toBeLessThan(100);
    client.read();
    expect(client.queue.heldBytes).toBe(0);
  });

  test("counts nothing any more when all has left, with an answer between two uses of a body", () => {
    const client = Client.waiting();
    const body = eventsOf("a", 1000);
    client.queue.sendEvents(body, [one]);
    client.queue.sendControl(2, created(5));
    client.queue.sendEvents(body, [two]);
    client.read();
    expect(client.told).toEqual(["99: 1", "1: a", "2: 5", "2: a"]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("holds when bodies come again in turn", () => {
    const client = Client.waiting();
    const [first, second] = [eventsOf("a", 500), eventsOf("b", 500)];
    for (const subscriber of [one, two, three]) {
      client.queue.sendEvents(first, [subscriber]);
      client.queue.sendEvents(second, [subscriber]);
    }
    client.read();
    expect(client.queue.heldBytes).toBe(0);
  });
});

describe("bodies that wait in several queues", () => {
  test("are held once for all, until the last of them has sent it", () => {
    const held = bodies();
    const clients = [Client.waiting(held), Client.waiting(held)];
    const body = eventsOf("a", 1000);
    for (const { queue } of clients) queue.sendEvents(body, [one, two]);
    expect(held.budgetedBytes).toBe(body.bytes.length);
    clients[0]!.read();
    expect(held.budgetedBytes).toBe(body.bytes.length);
    clients[1]!.read();
    expect(held.budgetedBytes).toBe(0);
  });

  test("are not held for those who read", () => {
    const held = bodies();
    new Client(held).queue.sendEvents(eventsOf("a", LARGE), [one, two]);
    expect(held.budgetedBytes).toBe(0);
  });
});

describe("fragments", () => {
  const body = eventsOf("a b c d", LARGE);
  const pieces = body.pieces(LARGE);

  test("come in a row, nothing between them", () => {
    const client = Client.waiting();
    client.queue.sendPieces(body, pieces, one);
    client.queue.sendControl(2, created(5));
    client.queue.sendPieces(body, pieces, three);
    client.readOnce();
    client.queue.sendControl(2, created(6));
    while (client.call.leavingBytes > 0) client.readOnce();
    const row = (id: number) => [`${id}: a ...`, `${id}: b ...`, `${id}: c ...`, `${id}: d`];
    expect(client.told).toEqual(["99: 1", ...row(1), "2: 5", ...row(3), "2: 6"]);
  });

  test("come to their end once begun, whether their watch is cancelled or events are dropped", () => {
    const client = Client.waiting();
    const gone = watch(4);
    client.queue.sendPieces(body, pieces, gone);
    client.readOnce();
    gone.muted = true;
    const dropped: Subscriber[] = [];
    client.queue.dropEvents((subscriber) => dropped.push(subscriber));
    while (client.call.leavingBytes > 0) client.readOnce();
    expect(client.told).toEqual(["99: 1", "4: a ...", "4: b ...", "4: c ...", "4: d"]);
    expect(dropped).toEqual([]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("that are not begun are dropped whole", () => {
    const client = Client.waiting();
    client.queue.sendPieces(body, pieces, one);
    const dropped: Subscriber[] = [];
    client.queue.dropEvents((subscriber) => dropped.push(subscriber));
    client.read();
    expect(client.told).toEqual(["99: 1"]);
    expect(dropped).toEqual([one]);
  });
});
