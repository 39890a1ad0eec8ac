import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { watchFault, type WatchFigures } from "./watch-load/watch-figures.ts";

const program = join(import.meta.dir, "programs", "watch-clients.ts");

let etcd: EtcdCluster;
beforeAll(async () => {
  etcd = await startEtcdCluster({ members: 1 });
});
afterAll(() => etcd.dispose());

function run(...flags: readonly string[]): Promise<CommandResult> {
  const address = `--etcd=${etcd.member(0).endpoint}`;
  return runCommand([process.execPath, program, address, "--connections=3", "--seconds=0.1", ...flags]);
}

async function figuresOf(...flags: readonly string[]): Promise<WatchFigures> {
  const { code, stdout, stderr } = await run("--json", ...flags);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as WatchFigures;
}

describe("the clients, at etcd itself,", () => {
  test("get every event of bursts on one key, and know how many watches that was", async () => {
    const figures = await figuresOf("--watchers=20", "--puts=50", `--etcd-pid=${etcd.member(0).pid}`);
    expect(watchFault(figures)).toBeUndefined();
    expect(figures).toMatchObject({ watches: 20, created: 20, upstreamWatches: 20, missingEvents: 0 });
    expect(figures.events).toBe(20 * figures.puts!);
    expect(figures.p99Micros).toBeGreaterThanOrEqual(figures.p50Micros!);
    expect(figures.serverCpuMicros).toBeGreaterThanOrEqual(0);
  });

  test("get only the events of their own range, paced too", async () => {
    const figures = await figuresOf("--mode=paced", "--ranges=5", "--watchers=4", "--puts=12", "--rate=200");
    expect(watchFault(figures)).toBeUndefined();
    expect(figures).toMatchObject({ watches: 20, puts: 20, events: 80 });
  });

  test('create watches of "now" with one event for each', async () => {
    const flags = ["--mode=create", "--start=now", "--ranges=1", "--watchers=30", "--at-once=2"];
    const figures = await figuresOf(...flags);
    expect(watchFault(figures)).toBeUndefined();
    expect(figures).toMatchObject({ created: 30, events: 30 });
  });

  test("tell memory that comes to rest", async () => {
    const figures = await figuresOf("--mode=memory", "--watchers=30", `--pid=${etcd.member(0).pid}`);
    expect(figures).toMatchObject({ created: 30 });
    expect(Number.isFinite(figures.bytesPerWatcher)).toBe(true);
  });

  test("print one line for people", async () => {
    const { stdout } = await run("--watchers=3", "--puts=10");
    expect(stdout).toMatch(/^burst: 3\.00 watches in .* events\/s .* p99 .*\n$/);
  });
});

test("an option that is wrong is named", async () => {
  const { code, stderr } = await run("--mode=fast");
  expect([code, stderr]).toEqual([
    1,
    "watch-clients: --mode fast: not one of burst, paced, create, memory\n",
  ]);
});

test("an etcd that cannot be reached is an error, not a figure", async () => {
  const { code, stdout, stderr } = await run("--etcd=127.0.0.1:1");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toBe("watch-clients: cannot connect to 127.0.0.1:1\n");
});
