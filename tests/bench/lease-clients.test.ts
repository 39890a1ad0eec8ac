import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { leaseFault, type LeaseFigures } from "./lease-load/lease-figures.ts";

const program = join(import.meta.dir, "programs", "lease-clients.ts");

let etcd: EtcdCluster;
beforeAll(async () => {
  etcd = await startEtcdCluster({ members: 1 });
});
afterAll(() => etcd.dispose());

function run(...flags: readonly string[]): Promise<CommandResult> {
  const address = `--etcd=${etcd.member(0).endpoint}`;
  const small = ["--leases=65", "--clients=9", "--connections=4", "--pace=0.05", "--warm-up=0.05"];
  return runCommand([process.execPath, program, address, "--seconds=0.2", ...small, ...flags]);
}

async function figuresOf(...flags: readonly string[]): Promise<LeaseFigures> {
  const { code, stdout, stderr } = await run("--json", ...flags);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as LeaseFigures;
}

describe("the clients, at etcd itself,", () => {
  test.each(["paced", "burst"])("get an answer to every heartbeat (%s)", async (mode) => {
    const figures = await figuresOf(`--mode=${mode}`, `--etcd-pid=${etcd.member(0).pid}`);
    expect(leaseFault(figures)).toBeUndefined();
    expect(figures).toMatchObject({ leases: 65, clients: 9, upstreamStreams: 9 });
    expect(figures.answered).toBe(figures.sent);
    expect(figures.upstreamCallsShare).toBeGreaterThan(0.5);
    expect(figures.p99Micros).toBeGreaterThanOrEqual(figures.p50Micros!);
    expect(figures.serverCpuMicros).toBeGreaterThanOrEqual(0);
  });

  test("leave no lease behind, and print one line for people", async () => {
    const { stdout } = await run("--mode=paced");
    expect(stdout).toMatch(/^paced: 65\.0 leases of 9\.00 clients, .* p99 .* on 9 streams\n$/);
    using client = new GrpcClient(etcd.member(0).endpoint);
    const { leases } = await client.unary(Lease.method.leaseLeases, {});
    expect(leases).toEqual([]);
  });
});

test("an etcd that cannot be reached is an error, not a figure", async () => {
  const { code, stdout, stderr } = await run("--etcd=127.0.0.1:1");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toStartWith("lease-clients: ");
});
