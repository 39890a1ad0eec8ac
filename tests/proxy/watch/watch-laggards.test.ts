/** What the watch hub does for clients that do not read, and for watches that begin in the past. */
import { describe, expect, test } from "bun:test";
import { EVERYTHING, begin, deliverAll, revisionsOf, write } from "./watch-scene.ts";

describe("a client that does not read", () => {
  const limits = { queueBytesMax: 4096, ringBytesMax: 4096, messageBytesGoal: 1024 };

  test("costs no more than its bound, and is given all it missed when it reads again", () => {
    const { world, etcd, hub } = begin({}, limits);
    const slow = world.connect({ windowBytes: 100 });
    const watch = world.watch(EVERYTHING, slow);
    const quick = world.connect();
    world.watch(EVERYTHING, quick);
    world.settle();
    let queuedMax = 0;
    for (let n = 0; n < 100; n++) {
      etcd.store.write([["a", "v".repeat(1000)]]);
      deliverAll(world);
      queuedMax = Math.max(queuedMax, slow.call.queuedBytes + hub.held.budgetedBytes);
    }
    expect(queuedMax).toBeLessThan(2 * limits.queueBytesMax + 2000);
    expect(quick.watches[0]!.received).toBe(100);
    expect(hub.stats.laggingWatches).toBe(1);
    slow.readAll();
    world.settle();
    expect([watch.received, hub.stats.laggingWatches]).toEqual([100, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("shares catch-up watches with others, and no more of them than there may be", () => {
    const { world, etcd } = begin({}, { ...limits, catchUpsMax: 2 });
    const clients = Array.from({ length: 30 }, () => world.connect({ windowBytes: 0 }));
    for (const client of clients) world.watch({ key: "a", rangeEnd: "z" }, client);
    world.settle();
    for (let n = 0; n < 40; n++) {
      etcd.store.write([["a", "v".repeat(500)]]);
      deliverAll(world);
    }
    expect(etcd.watches).toBe(1);
    let most = 0;
    for (const client of clients) client.readAll();
    for (let step = 0; step < 200; step++) {
      world.clock.advance(20);
      etcd.actions[step % Math.max(1, etcd.actions.length)]?.run();
      world.clock.endTurn();
      most = Math.max(most, etcd.watches);
    }
    world.settle();
    expect(most).toBeLessThanOrEqual(3);
    expect(clients.map(({ watches }) => watches[0]!.received)).toEqual(clients.map(() => 40));
    expect(etcd.watches).toBe(1);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("does not hold up anybody, nor any catch-up watch", () => {
    const { world, etcd } = begin({}, { ...limits, catchUpsMax: 1 });
    for (let n = 0; n < 40; n++) etcd.store.write([["a", "v".repeat(500)]]);
    deliverAll(world);
    const dead = world.connect({ windowBytes: 0 });
    world.watch({ key: "a", startRevision: 2 }, dead);
    world.settle();
    const late = world.connect();
    const watch = world.watch({ key: "a", startRevision: 2 }, late);
    world.settle();
    expect(watch.received).toBe(40);
    expect(world.faultsAtRest([late])).toEqual([]);
  });

  test("is not made to lag by one large revision", () => {
    const { world, etcd, hub } = begin({}, limits);
    const client = world.connect();
    const watch = world.watch(EVERYTHING, client);
    world.settle();
    const keys = Array.from({ length: 64 }, (_, at) => `k${at}`);
    etcd.store.write(keys.map((key) => [key, "v".repeat(64 * 1024)]));
    deliverAll(world);
    expect([watch.received, hub.stats.lagged]).toEqual([64, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("a watch from the past", () => {
  test.each(["3.4", "3.5", "3.7"] as const)(
    "merges with the shared one when it has caught up (etcd %s)",
    (version) => {
      const { world, etcd } = begin({ version, syncRevisionsMax: 5 }, { memberMessageRevisionsMax: 5 });
      write(world, "a", 20);
      const clients = Array.from({ length: 10 }, () => world.connect());
      for (const client of clients) world.watch({ key: "a", startRevision: 2 }, client);
      world.settle();
      expect([etcd.watches, etcd.calls.length]).toEqual([1, 1]);
      write(world, "a", 3);
      expect(clients.map(({ watches }) => watches[0]!.received)).toEqual(clients.map(() => 23));
      expect(world.faultsAtRest()).toEqual([]);
    },
  );

  test("that has not come yet waits with the others", () => {
    const { world, etcd } = begin({ version: "3.7" });
    const client = world.connect();
    world.watch({ key: "a" }, client);
    const future = world.watch({ key: "a", startRevision: 5 }, client);
    world.settle();
    write(world, "a", 6);
    expect([etcd.watches, revisionsOf(client, future)]).toEqual([1, [5, 6, 7]]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});
