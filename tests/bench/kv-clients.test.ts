import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import type { KvFigures } from "./kv-load/kv-figures.ts";

const program = join(import.meta.dir, "programs", "kv-clients.ts");

let etcd: EtcdCluster;
beforeAll(async () => {
  etcd = await startEtcdCluster({ members: 1 });
});
afterAll(() => etcd.dispose());

function run(...flags: readonly string[]): Promise<CommandResult> {
  const address = `--address=${etcd.member(0).endpoint}`;
  return runCommand([
    process.execPath,
    program,
    address,
    "--keys=50",
    "--calls=2000",
    "--warm-up=100",
    ...flags,
  ]);
}

describe("the clients, at etcd itself,", () => {
  test.each(["linearizable", "serializable"])("read (%s) and put, and every call is there", async (reads) => {
    const member = etcd.member(0);
    const watched = [`--etcd=${member.endpoint}`, `--etcd-pid=${member.pid}`];
    const { code, stdout, stderr } = await run("--json", "--fill", `--reads=${reads}`, ...watched);
    expect([code, stderr]).toEqual([0, ""]);
    const figures = JSON.parse(stdout) as KvFigures;
    expect(figures).toMatchObject({ calls: 2000, upstreamCallsShare: 1 });
    expect(figures.reads).toBeGreaterThan(1600);
    expect(figures.reads).toBeLessThan(2000);
    expect(figures.p99Micros).toBeGreaterThanOrEqual(figures.p50Micros);
    expect(figures.clientCpuMicros).toBeGreaterThan(0);
  });

  test("print one line for people", async () => {
    const { stdout } = await run("--fill", "--puts=100");
    expect(stdout).toMatch(/^[\d ]+ calls\/s .* p50 .* µs, p99 .* µs, clients .* µs\n$/);
  });
});

test("keys that are not there are an error, not a figure", async () => {
  const { code, stdout, stderr } = await run("--keys=500", "--puts=0");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toStartWith("kv-clients: an answer lacks the key bench/zipf/");
});
