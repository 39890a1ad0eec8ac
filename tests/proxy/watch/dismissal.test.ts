/** The proxy stops: watch streams are ended where their clients can go on elsewhere without missing or repeating. */
import { describe, expect, test } from "bun:test";
import { STOPPING } from "../../../src/proxy/endless-calls.ts";
import { begin, deliverAll, EVERYTHING, type Parts, revisionsOf, write } from "./watch-scene.ts";

function dismissAll({ hub }: Parts): void {
  for (const call of hub.dismissNew(STOPPING)) call.dismiss(STOPPING);
}

describe("a watch stream that is dismissed", () => {
  test("ends at once where nothing waits for its client, and leaves nothing behind", () => {
    const parts = begin();
    const { world, etcd, hub } = parts;
    const client = world.connect();
    const watch = world.watch(EVERYTHING, client);
    world.settle();
    write(world, "a", 2);
    dismissAll(parts);
    world.settle();
    expect(client.status).toEqual(STOPPING);
    expect(revisionsOf(client, watch)).toEqual([2, 3]);
    expect([hub.stats.clientStreams, hub.stats.clientWatches, etcd.watches]).toEqual([0, 0, 0]);
  });

  test("ends behind what waits in its queue, and gets nothing that comes later", () => {
    const parts = begin();
    const { world } = parts;
    const client = world.connect();
    const watch = world.watch(EVERYTHING, client);
    world.settle();
    client.call.windowBytes = 0;
    write(world, "a", 2);
    dismissAll(parts);
    write(world, "a", 2);
    expect(client.status).toBeUndefined();
    client.readAll();
    deliverAll(world);
    expect(client.status).toEqual(STOPPING);
    expect(revisionsOf(client, watch)).toEqual([2, 3]);
  });

  test("is not told of progress that would pass over events it did not get", () => {
    const parts = begin();
    const { world } = parts;
    const client = world.connect();
    const watch = world.watch({ ...EVERYTHING, progressNotify: true }, client);
    world.settle();
    client.call.windowBytes = 0;
    write(world, "a", 1);
    client.progress();
    client.flush();
    dismissAll(parts);
    write(world, "a", 2);
    deliverAll(world);
    client.readAll();
    deliverAll(world);
    expect(client.status).toEqual(STOPPING);
    expect(revisionsOf(client, watch)).toEqual([2]);
    expect(watch.progressRevision).toBeLessThanOrEqual(2);
  });

  test("that waits for the answer to a create ends without it", () => {
    const parts = begin();
    const { world } = parts;
    const client = world.connect();
    world.watch(EVERYTHING, client);
    client.flush();
    dismissAll(parts);
    world.settle();
    expect(client.status).toEqual(STOPPING);
    expect(client.responses).toEqual([]);
    expect(parts.hub.stats.clientWatches).toBe(0);
  });

  test("and one that comes later ends as it comes", () => {
    const parts = begin();
    dismissAll(parts);
    const client = parts.world.connect();
    parts.world.settle();
    expect(client.status).toEqual(STOPPING);
  });
});
