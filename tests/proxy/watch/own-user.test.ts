/** Shared watches in the name of the proxy's own user, against a model of etcd. */
import { describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { INVALID_AUTH_TOKEN } from "./model-refusals.ts";
import { anything, begin as beginWith, deliverAll, EVERYTHING, type Parts, write } from "./watch-scene.ts";

const permissions = { "ann-1": [anything()], "ann-2": [anything()], bob: [{ key: "b", end: "c" }] };

/** A world whose proxy has a user of its own, signed in. */
function begin(): Parts {
  const parts = begunUnsigned();
  deliverAll(parts.world);
  expect(parts.world.own?.token).toBe("own-1");
  return parts;
}

function begunUnsigned(): Parts {
  return beginWith({ permissions, ownUser: true });
}

/** Everything arrives that is under way, but for a token of its own. */
function deliverAllButToken({ world, etcd }: Parts): void {
  for (;;) {
    world.clock.endTurn();
    const next = etcd.actions.find(({ name }) => !name.includes("own user"));
    if (next === undefined) return;
    next.run();
  }
}

/** In whose name calls to members are open. */
function carriersOf({ etcd }: Parts): string[] {
  return etcd.calls.map(({ token }) => token);
}

describe("with a user of its own", () => {
  test("all watches ride on one call in its name, whoever watches", () => {
    const parts = begin();
    const { world, etcd } = parts;
    world.watch(EVERYTHING, world.connect({ token: "ann-1" }));
    world.watch({ key: "a" }, world.connect({ token: "ann-2" }));
    world.watch({ key: "b" }, world.connect({ token: "bob" }));
    world.settle();
    expect([carriersOf(parts), etcd.watches]).toEqual([["own-1"], 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("each watcher's own token is checked before it joins, all the same", () => {
    const parts = begin();
    const { world, etcd } = parts;
    world.watch(EVERYTHING, world.connect({ token: "ann-1" }));
    world.settle();
    etcd.expiredTokens.add("ann-2");
    const mayNot = [
      world.watch({ key: "a" }, world.connect({ token: "bob" })),
      world.watch({ key: "a" }, world.connect({ token: "ann-2" })),
      world.watch({ key: "a" }, world.connect()),
    ];
    world.settle();
    expect(mayNot.map(({ live }) => live)).toEqual([false, false, false]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("no client moves the watches by leaving, nor by its token's end", () => {
    const parts = begin();
    const { world, etcd } = parts;
    const [first, second] = [world.connect({ token: "ann-1" }), world.connect({ token: "ann-2" })];
    world.watch({ key: "a" }, first);
    const watch = world.watch({ key: "a" }, second);
    world.settle();
    const [call] = etcd.calls;
    first.call.reset("done");
    etcd.expiredTokens.add("ann-2");
    world.settle();
    write(world, "a", 2);
    expect([etcd.calls.length, etcd.calls[0] === call, watch.received]).toEqual([1, true, 2]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("when a member is lost, watches go on in its name, but for those whose own tokens have ended", () => {
    const parts = begin();
    const { world, etcd } = parts;
    const [good, ended] = [world.connect({ token: "ann-1" }), world.connect({ token: "ann-2" })];
    const watches = [good, ended].map((client) => world.watch({ key: "a" }, client));
    world.settle();
    etcd.expiredTokens.add("ann-2");
    etcd.cut(etcd.member);
    world.settle();
    write(world, "a", 1);
    expect(watches.map(({ received }) => received)).toEqual([1, 0]);
    expect([carriersOf(parts), good.status, ended.status?.code]).toEqual([
      ["own-1"],
      undefined,
      Code.UNAVAILABLE,
    ]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("when its token is lost with the member, watches ride in a client's name until there is a new one", () => {
    const parts = begin();
    const { world, etcd } = parts;
    const watch = world.watch({ key: "a" }, world.connect({ token: "ann-1" }));
    world.settle();
    etcd.own!.expire();
    etcd.cut(etcd.member);
    etcd.store.write([["a", "meanwhile"]]);
    deliverAllButToken(parts);
    expect([world.own?.expected, carriersOf(parts), watch.live]).toEqual([true, ["ann-1"], true]);
    world.settle();
    write(world, "a", 1);
    expect([carriersOf(parts), watch.live, watch.received]).toEqual([["own-2"], true, 2]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("its token's end is noticed with the next watch, which waits for nothing; then all move to the new one", () => {
    const parts = begin();
    const { world, etcd } = parts;
    const first = world.watch({ key: "a" }, world.connect({ token: "ann-1" }));
    world.settle();
    etcd.own!.expire();
    const second = world.watch({ key: "b" }, world.connect({ token: "ann-2" }));
    deliverAllButToken(parts);
    expect([second.live, world.own?.token]).toEqual([true, ""]);
    world.settle();
    for (const key of ["a", "b"]) write(world, key, 1);
    expect([carriersOf(parts), first.received, second.received]).toEqual([["own-2"], 1, 1]);
    expect(etcd.own!.requests).toBe(2);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("watches that began before there was a token move to its call", () => {
    const parts = begunUnsigned();
    const { world, etcd } = parts;
    etcd.own!.welcome = false;
    deliverAll(world);
    const watch = world.watch({ key: "a" }, world.connect({ token: "ann-1" }));
    deliverAll(world);
    expect([carriersOf(parts), watch.live]).toEqual([["ann-1"], true]);
    etcd.own!.welcome = true;
    world.settle();
    write(world, "a", 1);
    expect([carriersOf(parts), watch.received]).toEqual([["own-1"], 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("where that user may not watch", () => {
  test("a watch rides in a client's name, and those it may watch in its own", () => {
    const parts = begin();
    const { world, etcd } = parts;
    etcd.own!.restrict([{ key: "b", end: "c" }]);
    const [outside, inside] = [
      world.watch({ key: "a" }, world.connect({ token: "ann-1" })),
      world.watch({ key: "b" }, world.connect({ token: "ann-2" })),
    ];
    world.settle();
    for (const key of ["a", "b"]) write(world, key, 1);
    expect(carriersOf(parts).toSorted()).toEqual(["ann-1", "own-1"]);
    expect([outside.received, inside.received]).toEqual([1, 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("a new token does not move the watches that it may not watch either", () => {
    const parts = begin();
    const { world, etcd } = parts;
    etcd.own!.restrict([{ key: "b", end: "d" }]);
    const outside = world.watch({ key: "a" }, world.connect({ token: "ann-1" }));
    const client = world.connect({ token: "ann-2" });
    world.watch({ key: "b" }, client);
    world.settle();
    const call = etcd.calls.find(({ token }) => token === "ann-1")!;
    const creates = (): number => Math.max(...call.wanted.values().map(Number));
    const before = creates();
    etcd.own!.expire();
    world.watch({ key: "c" }, client);
    world.settle();
    expect([world.own?.token, carriersOf(parts).toSorted()]).toEqual(["own-2", ["ann-1", "own-2"]]);
    expect(creates()).toBe(before);
    write(world, "a", 1);
    expect(outside.received).toBe(1);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("a watch none of whose tokens does ends its client's stream, for his own reason", () => {
    const parts = begin();
    const { world, etcd } = parts;
    etcd.own!.restrict([]);
    const client = world.connect({ token: "ann-1" });
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    etcd.expiredTokens.add("ann-1");
    etcd.cut(etcd.member);
    world.settle();
    expect([watch.canceled, client.status?.code]).toEqual([false, Code.UNAVAILABLE]);
    expect(client.status?.message).toEndWith(INVALID_AUTH_TOKEN);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("and is not let in, watches wait for it no longer than etcd takes to say so", () => {
    const parts = begin();
    const { world, etcd } = parts;
    const client = world.connect({ token: "ann-1" });
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    etcd.own!.expire();
    etcd.own!.turnAway();
    etcd.expiredTokens.add("ann-1");
    etcd.cut(etcd.member);
    deliverAllButToken(parts);
    expect(watch.live).toBe(true);
    world.settle();
    expect([watch.canceled, client.status?.code]).toEqual([false, Code.UNAVAILABLE]);
    expect(client.status?.message).toEndWith(INVALID_AUTH_TOKEN);
    expect(world.faultsAtRest()).toEqual([]);
  });
});
