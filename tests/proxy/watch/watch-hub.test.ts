/** What the watch hub does for clients, one behaviour at a time, against a model of etcd. */
import { describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { CONNECTION_LOST, NO_LEADER } from "./model-etcd.ts";
import { INVALID_AUTH_TOKEN } from "./model-refusals.ts";
import {
  EVERYTHING,
  anything,
  begin,
  createds,
  deliverAll,
  rangesAtEtcd,
  revisionsOf,
  wantsPrevKv,
  write,
} from "./watch-scene.ts";

describe("one upstream watch", () => {
  test("serves all watches of a range and of ranges inside it, on one stream", () => {
    const { world, etcd } = begin();
    const clients = Array.from({ length: 20 }, () => world.connect());
    for (const [at, client] of clients.entries()) {
      world.watch(EVERYTHING, client);
      world.watch({ key: `k${at}`, prevKv: false, noDelete: true }, client);
      world.watch({ key: "k", rangeEnd: `k${at + 1}`, fragment: true, progressNotify: true }, client);
    }
    world.settle();
    expect([etcd.watches, etcd.calls.length]).toEqual([1, 1]);
    for (let at = 0; at < 20; at++) etcd.store.write([[`k${at}`, "v"]]);
    world.settle();
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("is replaced by one with prev_kv while somebody wants that, and back", () => {
    const { world, etcd } = begin();
    const plain = world.connect();
    const watch = world.watch({ key: "a" }, plain);
    world.settle();
    const wanting = world.connect();
    world.watch({ key: "a", prevKv: true }, wanting);
    world.settle();
    write(world, "a", 2);
    expect([etcd.watches, wantsPrevKv(world)]).toEqual([1, [true]]);
    wanting.call.reset("done");
    world.settle();
    write(world, "a", 2);
    expect([etcd.watches, wantsPrevKv(world)]).toEqual([1, [false]]);
    expect(revisionsOf(plain, watch)).toEqual([2, 3, 4, 5]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("of a wider range takes in the narrower one, which goes on when the wider one is given up", () => {
    const { world, etcd } = begin();
    const narrow = world.connect();
    const watch = world.watch({ key: "b" }, narrow);
    world.settle();
    write(world, "b", 1);
    const wide = world.connect();
    world.watch(EVERYTHING, wide);
    world.settle();
    expect(etcd.watches).toBe(1);
    write(world, "b", 1);
    wide.call.reset("done");
    world.settle();
    write(world, "b", 1);
    expect(rangesAtEtcd(world)).toEqual([{ key: "b", end: "b\0" }]);
    expect(revisionsOf(narrow, watch)).toEqual([2, 3, 4]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("lives no longer than its clients", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    expect(etcd.watches).toBe(1);
    client.cancel(watch.id);
    client.flush();
    world.settle();
    expect([etcd.watches, watch.canceled, etcd.calls.length]).toEqual([0, true, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("when the upstream stream is lost", () => {
  test("watches go on at the next revision, and nothing is told twice", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    write(world, "a", 2);
    etcd.cut(etcd.member);
    etcd.store.write([["a", "meanwhile"]]);
    world.settle();
    write(world, "a", 1);
    expect([createds(client), revisionsOf(client, watch)]).toEqual([1, [2, 3, 4, 5]]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("a create that waits for it is answered once", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    world.watch({ key: "a" }, client);
    world.watch({ key: "b", startRevision: 1 }, client);
    for (let time = 0; time < 3; time++) {
      while (etcd.calls.length === 0) {
        world.clock.advance(100);
        etcd.actions[0]?.run();
        world.clock.endTurn();
      }
      for (const call of etcd.calls) call.end(CONNECTION_LOST);
    }
    world.settle();
    expect(createds(client)).toBe(2);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("watches go on at another member, even one that lags", () => {
    const { world, etcd } = begin({ members: 2 });
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    const [first, second] = etcd.members;
    etcd.store.write([["a", "1"]]);
    first!.apply(1);
    deliverAll(world);
    expect(revisionsOf(client, watch)).toEqual([2]);
    etcd.member = second!;
    etcd.cut(first!);
    world.settle();
    write(world, "a", 1);
    expect(revisionsOf(client, watch)).toEqual([2, 3]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("watches move to the member that the channel turns to", () => {
    const { world, etcd } = begin({ members: 2 });
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    etcd.member = etcd.members[1]!;
    world.settle();
    expect(etcd.calls.map(({ member }) => member === etcd.members[1])).toEqual([true]);
    write(world, "a", 2);
    expect(revisionsOf(client, watch)).toEqual([2, 3]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("when a member ends a watch", () => {
  test("for a reason, the client is told that reason", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    const reason = "etcdserver: watches are not wanted here";
    for (let time = 0; time < 10 && !watch.canceled; time++) {
      for (const { stream } of etcd.calls)
        for (const id of stream!.watches.keys()) etcd.cancelWatch(stream!, id, reason);
      world.settle();
    }
    expect([watch.canceled, watch.cancelReason]).toEqual([true, reason]);
    expect(etcd.watches).toBe(0);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("because its start is compacted, the client is told from where there is history", () => {
    const { world, etcd } = begin();
    write(world, "a", 6);
    etcd.store.compact(5);
    world.settle();
    const client = world.connect();
    const [late, early] = [
      world.watch({ key: "a", startRevision: 4 }, client),
      world.watch({ key: "a", startRevision: 5 }, client),
    ];
    world.settle();
    expect([late.created, late.canceled, late.compactRevision]).toEqual([true, true, 5]);
    expect([early.canceled, revisionsOf(client, early)]).toEqual([false, [5, 6, 7]]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("a start before the beginning is refused", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    const watch = world.watch({ key: "a", startRevision: -1 }, client);
    world.settle();
    expect([watch.canceled, etcd.watches]).toEqual([true, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("progress", () => {
  test.each(["3.4", "3.5", "3.7"] as const)("is told when a client asks for it (etcd %s)", (version) => {
    const { world, etcd } = begin({ version });
    const client = world.connect();
    world.watch({ key: "a" }, client);
    world.settle();
    for (let time = 0; time < 3; time++) {
      etcd.store.write([["elsewhere", `${time}`]]);
      deliverAll(world);
      client.progress();
      client.flush();
      world.settle();
    }
    expect(client.progressAnswers).toEqual([2, 3, 4]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("is told now and then to those who asked for notices, and to nobody else", () => {
    const { world, etcd } = begin();
    const client = world.connect();
    const asked = world.watch({ key: "a", progressNotify: true }, client);
    const other = world.watch({ key: "a" }, client);
    world.settle();
    etcd.store.write([["elsewhere", "1"]]);
    deliverAll(world);
    for (let tick = 0; tick < 2; tick++) {
      for (const { stream } of etcd.calls) stream?.tickProgress();
      deliverAll(world);
    }
    expect([asked.progressNotices > 0, asked.progressRevision, other.progressNotices]).toEqual([true, 2, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("tokens", () => {
  const permissions = { "ann-1": [anything()], "ann-2": [anything()], bob: [{ key: "b", end: "c" }] };

  test("are checked for each watcher before it joins", () => {
    const { world, etcd } = begin({ permissions });
    const ann = world.connect({ token: "ann-1" });
    const bob = world.connect({ token: "bob" });
    world.watch(EVERYTHING, ann);
    world.settle();
    const [may, mayNot] = [world.watch({ key: "b" }, bob), world.watch({ key: "a" }, bob)];
    world.settle();
    expect([may.live, mayNot.live, etcd.watches]).toEqual([true, false, 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("carry a shared watch one after another, as they end", () => {
    const { world, etcd } = begin({ permissions });
    const clients = [world.connect({ token: "ann-1" }), world.connect({ token: "ann-2" })];
    const watches = clients.map((client) => world.watch({ key: "a" }, client));
    world.settle();
    const carrying = clients.findIndex(({ token }) => token === etcd.calls[0]!.token);
    const other = 1 - carrying;
    etcd.expiredTokens.add(clients[carrying]!.token);
    write(world, "a", 1);
    etcd.cut(etcd.member);
    world.settle();
    expect(etcd.calls.map(({ token }) => token)).toEqual([clients[other]!.token]);
    write(world, "a", 1);
    expect([watches[other]!.live, watches[other]!.received]).toEqual([true, 2]);
    expect([watches[carrying]!.received, clients[carrying]!.status?.code]).toEqual([1, Code.UNAVAILABLE]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("are asked for again when another call carries the watch, of everybody but who carries it", () => {
    const { world, etcd } = begin({ permissions, members: 2 });
    const carrier = world.connect({ token: "ann-1" });
    world.watch(EVERYTHING, carrier);
    world.settle();
    const [ended, good] = [world.connect({ token: "ann-2" }), world.connect({ token: "bob" })];
    const watches = [world.watch({ key: "b" }, ended), world.watch({ key: "b" }, good)];
    world.settle();
    etcd.expiredTokens.add("ann-2");
    write(world, "b", 1);
    // The channel turns to another connection while the one before lives.
    etcd.member = etcd.members[1]!;
    deliverAll(world);
    etcd.cut(etcd.members[0]!);
    write(world, "b", 2);
    expect(watches.map(({ received }) => received)).toEqual([1, 3]);
    expect([carrier.status, ended.status?.code, good.status]).toEqual([
      undefined,
      Code.UNAVAILABLE,
      undefined,
    ]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("that have ended end the streams of who has fallen behind: he comes anew, with nothing lost", () => {
    const limits = { queueBytesMax: 4096, ringBytesMax: 4096, messageBytesGoal: 1024 };
    const { world, etcd } = begin({ permissions }, limits);
    const slow = world.connect({ token: "ann-1", windowBytes: 100 });
    const watch = world.watch({ key: "a" }, slow);
    const quick = world.connect({ token: "ann-2" });
    world.watch({ key: "a" }, quick);
    world.settle();
    for (const { token } of etcd.calls) etcd.expiredTokens.add(token);
    etcd.expiredTokens.add("ann-1");
    for (let n = 0; n < 20; n++) {
      etcd.store.write([["a", "v".repeat(1000)]]);
      deliverAll(world);
    }
    slow.readAll();
    world.settle();
    expect([watch.canceled, slow.status?.code, quick.status]).toEqual([false, Code.UNAVAILABLE, undefined]);
    expect(quick.watches[0]!.received).toBe(20);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("leave their watches to another one when their client goes", () => {
    const { world, etcd } = begin({ permissions });
    const [first, second] = [world.connect({ token: "ann-1" }), world.connect({ token: "ann-2" })];
    world.watch({ key: "a" }, first);
    world.settle();
    const watch = world.watch({ key: "a" }, second);
    world.settle();
    first.call.reset("done");
    world.settle();
    write(world, "a", 2);
    expect([etcd.calls.map(({ token }) => token), watch.received]).toEqual([["ann-2"], 2]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("that have all ended end the streams once their call is lost, as that of a private watch would end", () => {
    const { world, etcd } = begin({ permissions });
    const client = world.connect({ token: "ann-1" });
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    etcd.expiredTokens.add("ann-1");
    write(world, "a", 1);
    expect([watch.live, watch.received]).toEqual([true, 1]);
    etcd.cut(etcd.member);
    world.settle();
    expect(watch.canceled).toBe(false);
    expect(client.status).toEqual({
      code: Code.UNAVAILABLE,
      message: `etcdproxy: the watch's call to a member is over: ${INVALID_AUTH_TOKEN}`,
    });
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("the loss of the leader", () => {
  test("ends the streams that asked to be told, and no others", () => {
    const { world, etcd } = begin();
    const [asked, other] = [world.connect({ requireLeader: true }), world.connect()];
    world.watch({ key: "a" }, asked);
    const watch = world.watch({ key: "a" }, other);
    world.settle();
    expect([etcd.watches, etcd.calls.length]).toEqual([1, 2]);
    etcd.loseLeader();
    world.settle();
    expect([asked.status, other.open]).toEqual([NO_LEADER, true]);
    etcd.hasLeader = true;
    write(world, "a", 1);
    expect([watch.received, etcd.calls.length]).toEqual([1, 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });
});

describe("requests", () => {
  test("are refused when they are not right, each once, and the stream goes on", () => {
    const { world } = begin();
    const client = world.connect();
    const [first, again, empty] = [
      world.watch({ key: "a", watchId: 5 }, client),
      world.watch({ key: "b", watchId: 5 }, client),
      world.watch({ key: "b", rangeEnd: "a" }, client),
    ];
    const automatic = world.watch({ key: "c" }, client);
    world.settle();
    expect([first.id, first.live, again.live, empty.live, automatic.id]).toEqual([5, true, false, false, 0]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("choose ids of any size, and use them anew once they are free", () => {
    const { world } = begin();
    const client = world.connect();
    const first = world.watch({ key: "a", watchId: 2 ** 62 }, client);
    world.settle();
    client.cancel(first.id);
    const second = world.watch({ key: "b", watchId: 2 ** 62 }, client);
    world.settle();
    write(world, "b", 1);
    expect([first.canceled, second.id, second.received]).toEqual([true, 2 ** 62, 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("to cancel what is not there, or is canceled already, are passed over", () => {
    const { world } = begin();
    const client = world.connect();
    const watch = world.watch({ key: "a" }, client);
    world.settle();
    for (const id of [watch.id, watch.id, 7]) client.cancel(id);
    client.flush();
    world.settle();
    expect(client.responses.map(({ created, canceled }) => [created, canceled])).toEqual([
      [true, false],
      [false, true],
    ]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("that come before half-close are answered, and watches go on behind it", () => {
    const { world } = begin();
    const client = world.connect();
    const watch = client.create({ key: "a" });
    client.halfClose();
    world.settle();
    write(world, "a", 1);
    expect([watch.live, watch.received]).toEqual([true, 1]);
    expect(world.faultsAtRest()).toEqual([]);
  });

  test("that no member can be asked about end the stream, so that the client turns elsewhere", () => {
    const { world, etcd } = begin();
    etcd.reachable = false;
    const client = world.connect();
    world.watch({ key: "a" }, client);
    world.settle();
    expect(client.status?.code).toBe(Code.UNAVAILABLE);
  });
});
