/** Watches through the proxy while everything behind it fails: each client's history is etcd's own. */
import { expect, test } from "bun:test";
import { chosenSeed } from "./seeded-random.ts";
import { WatchFaultRun } from "./watch-fault-run.ts";

const long = process.env["ETCDPROXY_TEST_LONG"] === "1";
/** Each of the thirteen kinds at least once; in a long run, many times in many orders. */
const FAULTS = long ? 200 : 20;
const VIOLATIONS_SHOWN_MAX = 10;

test(
  "whatever fails, every watch is told every change of its range once, in order, and nothing else",
  async () => {
    const seed = chosenSeed();
    await using run = await WatchFaultRun.start(seed);
    await run.faults(FAULTS);
    const violations = await run.violations();
    const story = `ETCDPROXY_TEST_SEED=${seed} repeats it: ${run.journal.join("; ")}`;
    expect(violations.slice(0, VIOLATIONS_SHOWN_MAX), story).toEqual([]);
    expect(run.proxy.running, story).toBe(true);
  },
  long ? 1_200_000 : 180_000,
);
