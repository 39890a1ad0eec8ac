import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { type BenchCertificates, makeBenchCertificates } from "./tls-load/bench-certificates.ts";
import type { HandshakeFigures } from "./tls-load/handshake-figures.ts";

const program = join(import.meta.dir, "programs", "tls-clients.ts");

let folder: TemporaryFolder;
let certificates: BenchCertificates;
let etcd: EtcdCluster;
beforeAll(async () => {
  folder = new TemporaryFolder("tlsclients");
  certificates = await makeBenchCertificates(folder);
  const { server, client: own, caFile } = certificates;
  etcd = await startEtcdCluster({ members: 1, tls: { server, clients: { caFile, own } } });
});
afterAll(async () => {
  await etcd.dispose();
  folder[Symbol.dispose]();
});

function run(...flags: readonly string[]): Promise<CommandResult> {
  const address = `--address=${etcd.member(0).endpoint}`;
  return runCommand([process.execPath, program, address, "--handshakes=60", "--warm-up=5", ...flags]);
}

function shown(): string[] {
  const { caFile, client } = certificates;
  return [`--cacert=${caFile}`, `--cert=${client.certificateFile}`, `--key=${client.keyFile}`];
}

describe("the clients, at etcd itself,", () => {
  test("shake hands as often as they are told", async () => {
    const { code, stdout, stderr } = await run("--json", `--etcd-pid=${etcd.member(0).pid}`, ...shown());
    expect([code, stderr]).toEqual([0, ""]);
    const figures = JSON.parse(stdout) as HandshakeFigures;
    expect(figures).toMatchObject({ handshakes: 60 });
    expect(figures.p99Micros).toBeGreaterThanOrEqual(figures.p50Micros);
    expect(figures.serverCpuMicros).toBeGreaterThanOrEqual(0);
    expect(figures.clientCpuMicros).toBeGreaterThan(0);
  });

  test("print one line for people", async () => {
    const { stdout } = await run(...shown());
    expect(stdout).toMatch(/^[\d ]+ handshakes\/s .* p50 .* µs, p99 .* µs, clients .* µs\n$/);
  });
});

test("a client that the server turns away is an error, not a figure", async () => {
  const { code, stdout, stderr } = await run(`--cacert=${certificates.caFile}`);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^tls-clients: .*(CERTIFICATE_REQUIRED|BAD_CERTIFICATE)/);
});

test("a server whose certificate is of another authority is an error, not a figure", async () => {
  using elsewhere = new TemporaryFolder("tlsclients");
  const { caFile } = await makeBenchCertificates(elsewhere);
  const { code, stderr } = await run(...shown(), `--cacert=${caFile}`);
  expect(code).toBe(1);
  expect(stderr).toMatch(/authority that is not trusted/);
});
