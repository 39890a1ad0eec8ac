/** A watch hub with a model etcd and model clients around it, and what tests of one behaviour ask of them. */
import { WatchHub } from "../../../src/proxy/watch/watch-hub.ts";
import type { WatchLimits } from "../../../src/proxy/watch/watch-limits.ts";
import type { ClientWatch } from "./client-watch.ts";
import type { KeyRange } from "./key-range.ts";
import type { ModelClient } from "./model-client.ts";
import type { ModelEtcdOptions } from "./model-etcd.ts";
import { WatchWorld } from "./watch-world.ts";

export const EVERYTHING = { key: "", rangeEnd: "\0" };

/** Revisions of the events that a client was sent for a watch. */
export function revisionsOf({ responses }: ModelClient, { id }: ClientWatch): number[] {
  const own = responses.filter(({ watchId }) => watchId === BigInt(id));
  return own.flatMap(({ events }) => events.map(({ kv }) => Number(kv?.modRevision)));
}

/** How often a client was told `created`. */
export function createds({ responses }: ModelClient): number {
  return responses.filter(({ created }) => created).length;
}

export interface Parts {
  readonly world: WatchWorld;
  readonly etcd: WatchWorld["etcd"];
  readonly hub: WatchHub;
}

export function begin(options: ModelEtcdOptions = {}, limits: Partial<WatchLimits> = {}): Parts {
  let hub: WatchHub | undefined;
  const world = new WatchWorld(
    (parts) => (hub = new WatchHub({ ...parts, random: () => 0.5 })),
    options,
    limits,
  );
  return { world, etcd: world.etcd, hub: hub! };
}

export function anything() {
  return { key: "\0", end: undefined };
}

/** Everything that is under way arrives, clients read, a little time passes. */
export function deliverAll(world: WatchWorld): void {
  for (let turn = 0; turn < 4; turn++) {
    world.run();
    world.clock.advance(10);
  }
}

export function write(world: WatchWorld, key: string, times: number): void {
  for (let time = 0; time < times; time++) {
    world.etcd.store.write([[key, `${time}`]]);
    deliverAll(world);
  }
}

export function wantsPrevKv({ etcd }: WatchWorld): boolean[] {
  return etcd.calls.flatMap(({ stream }) =>
    [...(stream?.watches.values() ?? [])].map(({ prevKv }) => prevKv),
  );
}

export function rangesAtEtcd({ etcd }: WatchWorld): KeyRange[] {
  return etcd.calls.flatMap(({ stream }) => [...(stream?.watches.values() ?? [])].map(({ range }) => range));
}
