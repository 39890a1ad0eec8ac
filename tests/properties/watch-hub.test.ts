/**
 * The watch hub under random interleavings: each client watch is shown what a private watch at etcd would have shown.
 *
 * etcd is a model here, and so are the clients: interleavings cannot be made with real ones. The same law is held
 * against the hub's plain twin, which passes each client's stream on, to show that the law asks nothing that etcd
 * does not do.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { WatchHub } from "../../src/proxy/watch/watch-hub.ts";
import type { WatchLimits } from "../../src/proxy/watch/watch-limits.ts";
import type { ModelClient } from "../proxy/watch/model-client.ts";
import type { ModelEtcdOptions } from "../proxy/watch/model-etcd.ts";
import { PrivateWatches } from "../proxy/watch/private-watches.ts";
import { type Command, PERMISSIONS, walk, walks } from "../proxy/watch/watch-walk.ts";
import { type HubMaker, WatchWorld } from "../proxy/watch/watch-world.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(100), includeErrorInReport: true });

/** A walk that fails is shrunk, which takes its time. */
const TIMEOUT_MS = 60_000;
/** Small enough for every bound to be reached. */
const LIMITS: Partial<WatchLimits> = {
  queueBytesMax: 400,
  ringBytesMax: 700,
  catchUpsMax: 2,
  catchUpWindowRevisions: 6,
  requestBytesMax: 2000,
  messageBytesGoal: 300,
  fragmentBytesMax: 250,
  memberMessageRevisionsMax: 2,
};
const makeHub: HubMaker = (options) => new WatchHub({ ...options, random: () => 0.5 });

const versions = fc.constantFrom("3.4" as const, "3.5" as const, "3.7" as const);

function begin(maker: HubMaker, options: ModelEtcdOptions): WatchWorld {
  return new WatchWorld(
    maker,
    { syncRevisionsMax: 2, fragmentBytes: 200, windowBytes: 500, ...options },
    LIMITS,
  );
}

function walkAll(world: WatchWorld, commands: readonly Command[]): void {
  for (const command of commands) {
    walk(world, command);
    const { violations } = world;
    if (violations.length > 0) throw new Error(violations.join("\n"));
  }
}

/** Heals the world, lets it come to rest, writes once more, and tells what is wrong then. */
function end(world: WatchWorld, readers: readonly ModelClient[]): string[] {
  world.heal(readers);
  world.settle();
  world.etcd.store.write(["a", "b", "c", "d"].map((key) => [key, "the last"]));
  world.settle();
  return world.faultsAtRest(readers);
}

describe("each client watch is shown what a private watch would have shown,", () => {
  test(
    "when nothing goes wrong",
    () => {
      fc.assert(
        fc.property(walks({ trouble: false }), versions, (commands, version) => {
          const world = begin(makeHub, { version });
          walkAll(world, commands);
          expect(end(world, world.clients)).toEqual([]);
        }),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "when connections are lost, members change and lag, and history is compacted",
    () => {
      fc.assert(
        fc.property(walks({ trouble: true }), versions, (commands, version) => {
          const world = begin(makeHub, { version, members: 3 });
          walkAll(world, commands);
          expect(end(world, world.clients)).toEqual([]);
        }),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "when clients come with tokens that end",
    () => {
      fc.assert(
        fc.property(walks({ trouble: true }), versions, (commands, version) => {
          const world = begin(makeHub, { version, members: 2, permissions: PERMISSIONS! });
          walkAll(world, commands);
          expect(end(world, world.clients)).toEqual([]);
        }),
      );
    },
    TIMEOUT_MS,
  );

  test.each([
    ["ends", "whose token ends again and again: on one call"],
    ["refused", "that is refused for a while, or may watch a part only"],
  ] as const)(
    "when the proxy has a user of its own (%s), %s",
    (own) => {
      fc.assert(
        fc.property(walks({ trouble: true, own }), versions, (commands, version) => {
          const permissions = PERMISSIONS!;
          const world = begin(makeHub, { version, members: 2, permissions, ownUser: true });
          walkAll(world, commands);
          expect(end(world, world.clients)).toEqual([]);
        }),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "when some clients never read again",
    () => {
      fc.assert(
        fc.property(walks({ trouble: true }), versions, fc.nat(), (commands, version, dead) => {
          const world = begin(makeHub, { version, members: 2 });
          walkAll(world, commands);
          const readers = world.clients.filter((_, at) => (dead >> at) % 2 === 0);
          expect(end(world, readers)).toEqual([]);
        }),
      );
    },
    TIMEOUT_MS,
  );
});

test(
  "private watches at etcd hold the law",
  () => {
    fc.assert(
      fc.property(walks({ trouble: false }), versions, (commands, version) => {
        const world = begin(({ calls }) => new PrivateWatches(calls), { version });
        // A `created` may overtake what etcd itself says of progress.
        world.checksProgress = false;
        walkAll(world, commands);
        const faults = end(world, world.clients);
        expect(faults.filter((fault) => !/ ranges$| would do$/.test(fault))).toEqual([]);
      }),
    );
  },
  TIMEOUT_MS,
);
