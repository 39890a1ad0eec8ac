/**
 * The kv hub under random interleavings: reads of keys are as new as they promise to be, whatever is shared or kept.
 *
 * etcd is a model here, and so are the clients: interleavings cannot be made with real ones. The same law is held
 * against a hub that neither shares nor keeps, to show that the law asks nothing that etcd does not do.
 */
import { describe, test } from "bun:test";
import fc from "fast-check";
import type { KvSceneOptions } from "../proxy/kv/kv-scene.ts";
import { walk, walks } from "../proxy/kv/kv-walk.ts";
import { KvWorld } from "../proxy/kv/kv-world.ts";
import { runs } from "./runs.ts";

/** A walk that fails is shrunk, which takes its time. */
const TIMEOUT_MS = 60_000;
/** Small enough for every bound to be reached. */
const OPTIONS: KvSceneOptions = {
  cache: { bytesMax: 6000, entriesMax: 6, maxAgeMs: 1000 },
  limits: {
    sharedAnswerBytesMax: 250,
    gatheredBytesMax: 1500,
    pieceBytes: 60,
    heldBytesMax: 40,
    scannedMax: 3,
  },
};

function hold(trouble: boolean, options: KvSceneOptions, usual: number): void {
  fc.assert(
    fc.property(walks({ trouble }), (commands) => {
      const world = new KvWorld({ ...OPTIONS, ...options });
      for (const command of commands) {
        walk(world, command);
        report(world.violations);
      }
      report(world.settle());
    }),
    { numRuns: runs(usual), includeErrorInReport: true },
  );
}

function report(violations: readonly string[]): void {
  if (violations.length > 0) throw new Error(violations.join("\n"));
}

describe("each read is as new as it promises,", () => {
  test("when nothing goes wrong", () => hold(false, {}, 1500), TIMEOUT_MS);

  test(
    "when connections are lost, members change and lag, and calls fail",
    () => hold(true, {}, 3000),
    TIMEOUT_MS,
  );

  test(
    "when answers are large for the memory there is",
    () => hold(true, { budgetBytes: 700 }, 1000),
    TIMEOUT_MS,
  );

  test("without a cache", () => hold(true, { cache: null }, 800), TIMEOUT_MS);

  test("without sharing", () => hold(true, { coalescing: false }, 800), TIMEOUT_MS);
});

test(
  "reads that are neither shared nor kept hold the law",
  () => hold(true, { coalescing: false, cache: null }, 500),
  TIMEOUT_MS,
);
