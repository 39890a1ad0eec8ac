/** What becomes of what waits in a client's queue when it is dropped, or the call ends. */
import { describe, expect, test } from "bun:test";
import { controlBody } from "../../../src/etcd/watch-message.ts";
import type { ClientQueue } from "../../../src/proxy/watch/client-queue.ts";
import type { EventsBody } from "../../../src/proxy/watch/events-body.ts";
import type { Subscriber } from "../../../src/proxy/watch/subscriber.ts";
import { bodies, Client, created, eventsOf, HEADER, HUGE, LARGE, watch } from "./queue-client.ts";

const [one, two, three] = [watch(1), watch(2), watch(3)];

describe("dropping the events that wait", () => {
  const dropAll = ({ queue }: Client): { dropped: string[]; progress: boolean } => {
    const dropped: string[] = [];
    const progress = queue.dropEvents(({ id }, revision) => dropped.push(`${id} from ${revision}`));
    return { dropped, progress };
  };

  test("tells each watch and the first revision it will miss", () => {
    const held = bodies();
    const client = Client.waiting(held);
    client.queue.sendEvents(eventsOf("a", 10, 5), [one, two]);
    client.queue.sendEvents(eventsOf("b", LARGE, 8), [two]);
    expect(dropAll(client)).toEqual({ dropped: ["1 from 5", "2 from 5", "2 from 8"], progress: false });
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
    client.read();
    expect(client.told).toEqual(["99: 1"]);
  });

  test("keeps answers about single watches, in their order", () => {
    const client = Client.waiting();
    client.queue.sendControl(1, created(5));
    client.queue.sendEvents(eventsOf("a"), [one]);
    client.queue.sendControl(2, created(6));
    dropAll(client);
    client.queue.sendEvents(eventsOf("b"), [one]);
    client.read();
    expect(client.told).toEqual(["99: 1", "1: 5", "2: 6", "1: b"]);
    expect(client.queue.heldBytes).toBe(0);
  });

  test("drops answers about progress with what they were true of, and says so", () => {
    const client = Client.waiting();
    client.queue.sendEvents(eventsOf("a"), [one]);
    client.queue.sendControl(-1, controlBody({ header: HEADER, revision: 8 }), "progress");
    expect(dropAll(client)).toEqual({ dropped: ["1 from 1"], progress: true });
    expect(client.queue.heldBytes).toBe(0);
    client.read();
    expect(client.told).toEqual(["99: 1"]);
  });

  test("lets a message be finished that was begun, and drops it for the watches that were not sent it", () => {
    const held = bodies();
    const client = Client.waiting(held);
    client.queue.sendEvents(eventsOf("a", HUGE, 5), [one, two, three]);
    client.readOnce();
    client.readOnce();
    expect(dropAll(client).dropped).toEqual(["2 from 5", "3 from 5"]);
    client.read();
    expect(client.told).toEqual(["99: 1", "1: a"]);
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  test.each([
    ["which takes it", true],
    ["which holds it back", false],
  ])(
    "while the call is given more, %s, is for those that are not sent their copies",
    (_what, takesAnswer) => {
      const client = Client.waiting();
      const watches = Array.from({ length: 20 }, (_, id) => watch(id));
      client.queue.sendEvents(eventsOf("a", 10_000, 5), watches);
      let dropped: string[] = [];
      client.call.meanwhile = () => ({ dropped } = dropAll(client));
      client.call.takesAnswer = takesAnswer;
      client.readOnce();
      client.read();
      const told = client.responses.slice(1).map(({ watchId }) => `${watchId} from 5`);
      expect([...told, ...dropped].toSorted()).toEqual(watches.map(({ id }) => `${id} from 5`).toSorted());
      expect(client.queue.heldBytes).toBe(0);
    },
  );

  test("of an empty queue drops nothing", () => {
    expect(dropAll(new Client())).toEqual({ dropped: [], progress: false });
  });
});

describe("a call that ends", () => {
  const small = (): EventsBody => eventsOf("a", 10_000);
  const sendFragments = (queue: ClientQueue): void => {
    const body = eventsOf("a b c", LARGE);
    queue.sendPieces(body, body.pieces(LARGE), one);
  };

  test("leaves nothing held", () => {
    const held = bodies();
    const client = Client.waiting(held);
    client.queue.sendEvents(eventsOf("a"), [one]);
    client.queue.sendControl(2, created(5));
    client.queue.sendEvents(eventsOf("b", HUGE), [one, two]);
    sendFragments(client.queue);
    client.end();
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
    client.readOnce();
    expect(client.told).toEqual(["99: 1"]);
  });

  test("with a large message half sent leaves nothing held", () => {
    const held = bodies();
    const client = Client.waiting(held);
    client.queue.sendEvents(eventsOf("a", HUGE), [one, two]);
    client.readOnce();
    client.readOnce();
    client.end();
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  test("with fragments half sent leaves nothing held", () => {
    const held = bodies();
    const client = Client.waiting(held);
    sendFragments(client.queue);
    client.readOnce();
    client.end();
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  const kinds: readonly (readonly [what: string, send: (queue: ClientQueue) => void])[] = [
    ["an answer", (queue) => queue.sendControl(1, created(5))],
    ["events for many", (queue) => queue.sendEvents(small(), Array<Subscriber>(20).fill(one))],
    ["a large message", (queue) => queue.sendEvents(eventsOf("a", HUGE), [one, two])],
    ["fragments", sendFragments],
  ];
  const givenAtOnceMax = 64 * 1024 + small().bytes.length + 100;

  test.each(kinds)("while it is given %s that waited is given nothing more", (_what, send) => {
    const held = bodies();
    const client = Client.waiting(held);
    send(client.queue);
    client.queue.sendControl(2, created(6));
    client.queue.sendEvents(small(), [two]);
    client.call.meanwhile = () => client.end();
    const before = client.call.answerBytes.length;
    client.read();
    expect(client.call.answerBytes.length - before).toBeLessThan(givenAtOnceMax);
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  test.each(kinds)("while it is given %s at once is given nothing more", (_what, send) => {
    const held = bodies();
    const client = new Client(held);
    client.call.meanwhile = () => client.end();
    send(client.queue);
    expect(client.call.answerBytes.length).toBeLessThan(givenAtOnceMax);
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  test.each(kinds)("while %s does not leave it keeps nothing of it", (_what, send) => {
    const held = bodies();
    const client = new Client(held);
    client.call.takesAnswer = false;
    client.call.meanwhile = () => client.end();
    send(client.queue);
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });

  test.each(kinds)("before it is given %s keeps nothing of it", (_what, send) => {
    const held = bodies();
    const client = new Client(held);
    client.end();
    send(client.queue);
    expect(held.budgetedBytes).toBe(0);
    expect(client.call.answerBytes).toHaveLength(0);
  });

  test("while it is given events, and takes its watches from the list, keeps nothing of them", () => {
    const held = bodies();
    const client = new Client(held);
    const list = Array.from({ length: 20 }, (_, id) => watch(id));
    client.call.meanwhile = () => {
      client.end();
      list.length = 0;
    };
    client.queue.sendEvents(small(), list);
    expect([client.queue.heldBytes, held.budgetedBytes]).toEqual([0, 0]);
  });
});
