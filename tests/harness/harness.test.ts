/** The harness itself: what the end-to-end suites take for granted about it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmdirSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, WatchRequestSchema, type WatchResponse } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { isRunning, runCommand, spawnPiped } from "./child-process.ts";
import { startEtcdCluster, type EtcdCluster } from "./etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "./etcdctl.ts";
import { etcdVersion, isSince, parseVersion, skipReason, testSince } from "./etcd-version.ts";
import { freePorts } from "./free-ports.ts";
import { GrpcClient, statusOf } from "./grpc-client.ts";
import { LineLog } from "./line-log.ts";
import { waitFor } from "./wait-for.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a cluster of one member", () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
  });
  afterAll(() => cluster.dispose());

  test("etcdctl puts and gets", async () => {
    expect(await etcdctl(cluster.endpoints, ["put", "colour", "green"])).toMatchObject({
      code: 0,
      stdout: "OK\n",
    });
    expect((await etcdctl(cluster.endpoints, ["get", "colour"])).stdout).toBe("colour\ngreen\n");
  });

  test("etcdctl reads a value from standard input", async () => {
    await etcdctl(cluster.endpoints, ["put", "piped"], bytes("from stdin"));
    expect((await etcdctl(cluster.endpoints, ["get", "piped", "--print-value-only"])).stdout).toBe(
      "from stdin\n",
    );
  });

  test("etcdctl's failure is a result, not an exception", async () => {
    const { code, stderr } = await etcdctl(cluster.endpoints, ["no-such-command"]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("no-such-command");
  });

  test("an etcdctl watch hands out its lines as they come", async () => {
    await using watch = new EtcdctlStream(cluster.endpoints, ["watch", "news", "--rev=1"]);
    await etcdctl(cluster.endpoints, ["put", "news", "first"]);
    expect(await watch.nextLines(3)).toEqual(["PUT", "news", "first"]);
    await etcdctl(cluster.endpoints, ["put", "news", "second"]);
    expect(await watch.nextLines(3)).toEqual(["PUT", "news", "second"]);
  });

  test("the gRPC client puts and gets", async () => {
    using client = new GrpcClient(cluster.member(0).endpoint);
    await client.unary(KV.method.put, { key: bytes("shape"), value: bytes("round") });
    const { kvs, count } = await client.unary(KV.method.range, { key: bytes("shape") });
    expect([count, kvs[0]?.value]).toEqual([1n, bytes("round")]);
  });

  test("the gRPC client gives metadata and status of an answer", async () => {
    using client = new GrpcClient(cluster.member(0).endpoint);
    const answer = await client.unaryAnswer(KV.method.range, { key: bytes("shape") });
    expect(answer.status.code).toBe(status.OK);
    expect(answer.headers.get("content-type")).toEqual(["application/grpc"]);
  });

  test("the gRPC client tells the status of a failed call", async () => {
    using client = new GrpcClient(cluster.member(0).endpoint);
    const empty = await statusOf(client.unary(KV.method.put, {}));
    expect([empty.code, empty.details]).toEqual([status.INVALID_ARGUMENT, "etcdserver: key is not provided"]);
    const unknown = await statusOf(client.callBytes("/etcdserverpb.KV/NoSuchMethod", new Uint8Array()));
    expect(unknown.code).toBe(status.UNIMPLEMENTED);
  });

  test("the gRPC client holds a bidirectional call", async () => {
    using client = new GrpcClient(cluster.member(0).endpoint);
    const call = client.bidirectional(Watch.method.watch);
    call.on("error", () => undefined);
    const created = new Promise<WatchResponse>((resolve) => call.once("data", resolve));
    call.write(
      create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: bytes("shape") } } }),
    );
    expect((await created).created).toBe(true);
    call.cancel();
  });

  test("a member comes back from kill with its data and its port", async () => {
    const member = cluster.member(0);
    await etcdctl(cluster.endpoints, ["put", "kept", "yes"]);
    await member.kill();
    expect(member.running).toBe(false);
    member.restart();
    await member.waitHealthy();
    expect((await etcdctl(cluster.endpoints, ["get", "kept", "--print-value-only"])).stdout).toBe("yes\n");
  });

  test("a stopped member is silent until it is continued", async () => {
    const member = cluster.member(0);
    member.stop();
    const silent = etcdctl(cluster.endpoints, ["--command-timeout=300ms", "get", "kept"]);
    expect((await silent).code).not.toBe(0);
    member.continue();
    await member.waitHealthy();
  });

  test("the cluster knows its leader", async () => {
    expect(await cluster.leader()).toBe(cluster.member(0));
  });
});

test("a cluster that is disposed leaves no process and no file", async () => {
  const cluster = await startEtcdCluster({ members: 1 });
  const { pid, dataFolder } = cluster.member(0);
  await cluster.dispose();
  expect(isRunning(pid)).toBe(false);
  expect(existsSync(dataFolder)).toBe(false);
});

test("a member that cannot start is reported with its log", async () => {
  const unusable = ["--listen-client-urls=http://203.0.113.1:2379"];
  await expect(startEtcdCluster({ members: 1, flags: unusable })).rejects.toThrow(
    /member1 exited; its log ends:[^]*203\.0\.113\.1/,
  );
});

test("children end with a runner that is killed", async () => {
  const module = JSON.stringify(`${import.meta.dir}/child-process.ts`);
  const script = `const { spawnPiped } = await import(${module}); console.log(spawnPiped(["sleep", "600"]).pid);`;
  const runner = spawnPiped([
    process.execPath,
    "-e",
    `${script} await new Promise(() => setInterval(() => {}, 1000))`,
  ]);
  const pid = Number(await new LineLog("the runner", runner.stdout).next());
  // Until it is `sleep`, the child may not have asked yet to be told of its parent's death.
  await waitFor("the child to begin", () => readFileSync(`/proc/${pid}/comm`, "latin1") === "sleep\n");
  runner.kill("SIGKILL");
  await waitFor(`process ${pid} to end`, () => !isRunning(pid));
});

test("a command that does not end is killed, and named", async () => {
  const endless = runCommand(["sh", "-c", "exec sleep 600"], { deadlineMs: 500 });
  await expect(endless).rejects.toThrow(/sleep 600 ran longer than 500 ms; it wrote:/);
});

test("a folder whose owner was killed is removed by the next runner", async () => {
  const module = JSON.stringify(`${import.meta.dir}/temporary-folder.ts`);
  const script = `const { TemporaryFolder } = await import(${module}); console.log(new TemporaryFolder("orphan").path);`;
  const make = async (): Promise<string> =>
    (await runCommand([process.execPath, "-e", script])).stdout.trim();
  const orphan = await make();
  expect(existsSync(orphan)).toBe(true);
  const next = await make();
  expect([existsSync(orphan), existsSync(next)]).toEqual([false, true]);
  rmdirSync(next);
});

test("children do not see etcd's variables of the runner", async () => {
  process.env["ETCDCTL_ENDPOINTS"] = "127.0.0.1:1";
  try {
    expect((await runCommand(["env"])).stdout).not.toContain("ETCDCTL_ENDPOINTS");
  } finally {
    delete process.env["ETCDCTL_ENDPOINTS"];
  }
});

test("free ports are different and can be listened on", () => {
  const ports = freePorts(6);
  expect(new Set(ports).size).toBe(6);
  for (const port of ports) Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
});

describe("waiting", () => {
  test("a condition that never holds fails with what was seen last", async () => {
    const waiting = waitFor(
      "rain",
      () => {
        throw new Error("the sky is clear");
      },
      { deadlineMs: 1 },
    );
    await expect(waiting).rejects.toThrow("waited 1 ms for rain; last seen: the sky is clear");
  });

  test("a line that never comes fails with the lines that came", async () => {
    const { stdout } = spawnPiped(["echo", "only this"]);
    const waiting = new LineLog("echo", stdout).find(
      "the other line",
      (line) => line === "other" || undefined,
    );
    await expect(waiting).rejects.toThrow("echo ended before the other line; it wrote:\nonly this");
  });
});

describe("versions", () => {
  test("the version of etcd is read from the binary", () => {
    expect(isSince(etcdVersion(), [3, 4, 0])).toBe(true);
  });

  test("versions compare by number", () => {
    expect(parseVersion("etcd Version: 3.4.23\nGit SHA: 1.2")).toEqual([3, 4, 23]);
    expect(isSince([3, 10, 0], [3, 9, 9])).toBe(true);
    expect(isSince([3, 4, 23], parseVersion("3.5"))).toBe(false);
  });

  test("a test for a newer etcd is skipped with the reason", () => {
    expect(skipReason("3.5", [3, 4, 23])).toBe("needs etcd 3.5, this is 3.4.23");
    expect(skipReason("3.5", [3, 5, 0])).toBeUndefined();
  });

  testSince("3.4", "every etcd that the tests know runs a test since 3.4", () => {
    expect(skipReason("3.4", etcdVersion())).toBeUndefined();
  });
});
