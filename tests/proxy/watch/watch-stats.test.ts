/** What the watch hub counts, for the metrics page. */
import { expect, test } from "bun:test";
import { EVERYTHING, begin, deliverAll, write } from "./watch-scene.ts";

test("watches and deliveries that the members were spared are counted as etcd's proxy counts them", () => {
  const { world, hub } = begin();
  for (let client = 0; client < 3; client++) world.watch(EVERYTHING, world.connect());
  world.settle();
  write(world, "a", 4);
  const { clientStreams, clientWatches, upstreamWatches, upstreamStreams } = hub.stats;
  expect({ clientStreams, clientWatches, upstreamWatches, upstreamStreams }).toEqual({
    clientStreams: 3,
    clientWatches: 3,
    upstreamWatches: 1,
    upstreamStreams: 1,
  });
  const { upstreamEvents, deliveredEvents, watchersCoalescing, eventsCoalescing } = hub.stats;
  expect({ upstreamEvents, deliveredEvents, watchersCoalescing, eventsCoalescing }).toEqual({
    upstreamEvents: 4,
    deliveredEvents: 12,
    watchersCoalescing: 2,
    eventsCoalescing: 8,
  });
});

test("a watch from the past counts as a replay, and its catch-up watch only while it is open", () => {
  const { world, etcd, hub } = begin();
  etcd.store.write([["a", "1"]]);
  etcd.store.write([["a", "2"]]);
  deliverAll(world);
  const watch = world.watch({ ...EVERYTHING, startRevision: 2 }, world.connect());
  world.settle();
  expect(watch.received).toBe(2);
  expect([hub.stats.replays, hub.stats.catchUps, hub.stats.upstreamWatches]).toEqual([1, 0, 1]);
});

test("nothing is counted as open once all clients have gone, refused creates among them", () => {
  const permissions = { ann: [{ key: "a", end: "b" }] };
  const { world, etcd, hub } = begin({ permissions });
  const client = world.connect({ token: "ann" });
  const watch = world.watch({ key: "a" }, client);
  world.watch({ key: "c" }, client);
  // The check of its own is answered, and the token ends before the member is asked for the watch.
  for (let turn = 0; turn < 10 && hub.stats.clientWatches === 0; turn++) {
    world.clock.endTurn();
    etcd.actions.find(({ name }) => name.includes("read"))?.run();
  }
  expect([hub.stats.clientWatches, watch.live]).toEqual([1, false]);
  etcd.expiredTokens.add("ann");
  world.settle();
  expect([client.open, client.liveWatches.length, hub.stats.clientWatches]).toEqual([true, 0, 0]);
  client.call.reset("done");
  world.settle();
  const { clientStreams, laggingWatches, upstreamWatches, upstreamStreams } = hub.stats;
  expect([clientStreams, laggingWatches, upstreamWatches, upstreamStreams]).toEqual([0, 0, 0, 0]);
});
