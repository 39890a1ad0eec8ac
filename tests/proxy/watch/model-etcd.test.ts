/** The model of etcd does what etcd was seen to do. */
import { describe, expect, test } from "bun:test";
import type { WatchResponse } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { CONNECTION_LOST } from "./model-etcd.ts";
import { INVALID_AUTH_TOKEN, PERMISSION_DENIED, USER_EMPTY } from "./model-refusals.ts";
import type { ModelEtcdOptions } from "./model-etcd.ts";
import type { ModelClient } from "./model-client.ts";
import { DUPLICATE_ID, EMPTY_RANGE } from "./model-server-stream.ts";
import { PrivateWatches } from "./private-watches.ts";
import { WatchWorld } from "./watch-world.ts";

function privately(options: ModelEtcdOptions = {}): WatchWorld {
  const world = new WatchWorld(({ calls }) => new PrivateWatches(calls), options);
  world.checksProgress = false;
  return world;
}

/** What a client was told, one word for each answer. */
function told({ responses }: ModelClient): string[] {
  return responses.map(({ created, canceled, compactRevision, cancelReason, watchId, events, header }) => {
    const what =
      events.length > 0 ? `events ${events.map(({ kv }) => kv?.modRevision).join(" ")}` : "progress";
    const word = created ? (canceled ? "refused" : "created") : canceled ? "canceled" : what;
    const compacted = compactRevision === 0n ? "" : ` compacted ${compactRevision}`;
    return `${watchId} ${word} at ${header?.revision}${compacted}${cancelReason === "" ? "" : `: ${cancelReason}`}`;
  });
}

describe("the model of etcd", () => {
  test("shows a watch of now what is written after its created", () => {
    const world = privately();
    world.etcd.store.write([["a", "1"]]);
    world.run();
    const client = world.connect();
    world.watch({ key: "a" }, client);
    world.run();
    world.etcd.store.write([["a", "2"]]);
    world.etcd.store.write([["b", "2"]]);
    world.run();
    expect(told(client)).toEqual(["0 created at 2", "0 events 3 at 3"]);
    expect(world.violations).toEqual([]);
  });

  test("gives a watch of the past some revisions at a time, with the current revision in the header", () => {
    const world = privately({ syncRevisionsMax: 2 });
    for (let n = 0; n < 5; n++) world.etcd.store.write([["a", `${n}`]]);
    world.run();
    const client = world.connect();
    world.watch({ key: "a", startRevision: 2 }, client);
    world.run();
    expect(told(client)).toEqual([
      "0 created at 6",
      "0 events 2 3 at 6",
      "0 events 4 5 at 6",
      "0 events 6 at 6",
    ]);
  });

  test("tells progress behind the events, or at once in 3.4, and not for a future watch in 3.7", () => {
    const answers = (["3.4", "3.5", "3.7"] as const).map((version) => {
      const world = privately({ version });
      const client = world.connect();
      client.progress();
      world.watch({ key: "a" }, client);
      world.run();
      client.progress();
      client.flush();
      world.run();
      world.watch({ key: "a", startRevision: 9 }, client);
      world.run();
      client.progress();
      client.flush();
      world.run();
      return told(client);
    });
    const [before, first, answer, second] = [
      "-1 progress at 1",
      "0 created at 1",
      "-1 progress at 1",
      "1 created at 1",
    ];
    expect(answers).toEqual([
      [before, first, answer, second, answer],
      [first, answer, second, answer],
      [first, answer, second],
    ]);
  });

  test("ends a watch of what was compacted, and keeps its id until it is canceled", () => {
    const world = privately();
    for (let n = 0; n < 5; n++) world.etcd.store.write([["a", `${n}`]]);
    world.etcd.store.compact(4);
    world.run();
    const client = world.connect();
    world.watch({ key: "a", startRevision: 3, watchId: 7 }, client);
    world.run();
    world.watch({ key: "a", watchId: 7 }, client);
    client.cancel(7);
    client.flush();
    world.run();
    const refused = `-1 refused at 6: ${DUPLICATE_ID}`;
    expect(told(client)).toEqual([
      "7 created at 6",
      "7 canceled at 0 compacted 4",
      refused,
      "7 canceled at 6",
    ]);
  });

  test("refuses who may not watch, empty ranges and ids in use, and goes on", () => {
    const world = privately({ permissions: { ann: [{ key: "a", end: "c" }], bob: [] } });
    world.etcd.expiredTokens.add("bob");
    const ann = world.connect({ token: "ann" });
    for (const wish of [
      { key: "c" },
      { key: "b", rangeEnd: "a" },
      { key: "a", watchId: 3 },
      { key: "b", watchId: 3 },
    ]) {
      world.watch(wish, ann);
    }
    const bob = world.connect({ token: "bob" });
    const nobody = world.connect();
    world.watch({ key: "a" }, bob);
    world.watch({ key: "a" }, nobody);
    world.run();
    expect(told(ann)).toEqual([
      `-1 refused at 1: ${PERMISSION_DENIED}`,
      `-1 refused at 1: ${EMPTY_RANGE}`,
      "3 created at 1",
      `-1 refused at 1: ${DUPLICATE_ID}`,
    ]);
    expect(told(bob)).toEqual([`-1 refused at 1: ${INVALID_AUTH_TOKEN}`]);
    expect(told(nobody)).toEqual([`-1 refused at 1: ${USER_EMPTY}`]);
  });

  test("cuts large answers for those who want fragments, and for nobody else", () => {
    const world = privately({ fragmentBytes: 100 });
    const client = world.connect();
    world.watch({ key: "a", rangeEnd: "z", fragment: true }, client);
    world.watch({ key: "a", rangeEnd: "z" }, client);
    world.run();
    world.etcd.store.write(["a", "b", "c"].map((key) => [key, "v".repeat(60)]));
    world.run();
    const events = client.responses.filter((response) => response.events.length > 0);
    expect(events.map((response) => [response.watchId, response.events.length, response.fragment])).toEqual([
      [0n, 1, true],
      [0n, 1, true],
      [0n, 1, false],
      [1n, 3, false],
    ]);
  });

  test("loses what is under way when a connection is lost", () => {
    const world = privately();
    const client = world.connect();
    world.watch({ key: "a" }, client);
    world.run();
    world.etcd.store.write([["a", "1"]]);
    world.etcd.member.apply(1);
    world.etcd.cut(world.etcd.member);
    world.run();
    expect(told(client)).toEqual(["0 created at 1"]);
    expect(client.status).toEqual(CONNECTION_LOST);
  });

  test("lets members lag", () => {
    const world = privately({ members: 2 });
    const [first, second] = world.etcd.members;
    world.etcd.store.write([["a", "1"]]);
    first!.apply(1);
    expect([first!.revision, second!.revision]).toEqual([2, 1]);
  });
});

describe("the law", () => {
  /** What is wrong when the answers to a client are altered on their way. */
  function faultsOf(alter: (response: WatchResponse) => WatchResponse[]): string[] {
    const world = new WatchWorld(({ calls }) => new PrivateWatches(calls, alter));
    const client = world.connect();
    world.watch({ key: "a", rangeEnd: "z" }, client);
    world.run();
    for (const value of ["1", "2", "3"]) {
      world.etcd.store.write([
        ["a", value],
        ["b", value],
      ]);
    }
    client.progress();
    client.flush();
    world.heal();
    world.settle();
    return world.faultsAtRest();
  }
  const isEventOf = (revision: number, { events }: WatchResponse) =>
    events[0]?.kv?.modRevision === BigInt(revision);

  test("has nothing to say of what etcd sends", () => {
    expect(faultsOf((response) => [response])).toEqual([]);
  });

  test.each([
    ["missing", (response: WatchResponse) => (isEventOf(3, response) ? [] : [response])],
    ["missing at the end", (response: WatchResponse) => (isEventOf(4, response) ? [] : [response])],
    ["told twice", (response: WatchResponse) => (isEventOf(3, response) ? [response, response] : [response])],
    ["torn", (response: WatchResponse) => [{ ...response, events: response.events.slice(0, 1) }]],
    ["of another watch", (response: WatchResponse) => [{ ...response, watchId: response.watchId + 1n }]],
    ["told by nobody", (response: WatchResponse) => [{ ...response, header: undefined }]],
  ])("sees a revision that is %s", (_, alter) => {
    expect(faultsOf(alter)).not.toEqual([]);
  });

  test("sees a created that is told twice, and one that is not told", () => {
    expect(faultsOf((response) => (response.created ? [response, response] : [response]))).not.toEqual([]);
    expect(faultsOf((response) => (response.created ? [] : [response]))).not.toEqual([]);
  });

  test("sees progress that is told too soon", () => {
    const early = (response: WatchResponse) => {
      const progress = { ...response, created: false, canceled: false, watchId: -1n, events: [] };
      return isEventOf(2, response) ? [progress, response] : [response];
    };
    expect(faultsOf(early)).not.toEqual([]);
  });
});
