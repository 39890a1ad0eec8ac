/**
 * `--experimental-enable-grpc-logging` with real clients: what etcdctl and callers of other protocols do is in the log, and
 * nothing that is secret.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../../harness/etcdctl.ts";
import { EtcdproxyProcess, type LogEntry, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import { GrpcClient, methodPath } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { CHEAP_PASSWORDS } from "../auth/people.ts";
import { curl } from "../curl.ts";

setDefaultTimeout(120_000);

const CALL_LOG = "--experimental-enable-grpc-logging";
const VALUE = "x7-a-value-that-nobody-else-has";
const PASSWORD = "x7-a-password-that-nobody-else-has";

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1, flags: [CHEAP_PASSWORDS] });
}, 120_000);
afterAll(() => cluster.dispose());

/** The lines of the calls of a method, such as `KV.Put`, in their order, without what differs from run to run. */
function linesOf(proxy: EtcdproxyProcess, method: string): Record<string, unknown>[] {
  return proxy.log.filter((entry) =>
    `${String(entry["grpc.service"])}.${String(entry["grpc.method"])}`.endsWith(`.${method}`),
  );
}

function contentOf(entry: LogEntry | Record<string, unknown> | undefined): unknown {
  return entry?.["grpc.request.content"] ?? entry?.["grpc.response.content"];
}

async function ran(proxy: EtcdproxyProcess, rest: readonly string[], stdin?: string): Promise<string> {
  const input = stdin === undefined ? undefined : new TextEncoder().encode(stdin);
  const { code, stdout, stderr } = await etcdctl([proxy.address], rest, input);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
  return stdout.trimEnd();
}

describe("the log of calls", () => {
  test("has put, get and txn, with keys and without values", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    await ran(proxy, ["put", "log/a", VALUE]);
    expect(await ran(proxy, ["get", "log/a"])).toBe(`log/a\n${VALUE}`);
    await ran(proxy, ["txn"], `value("log/a") = "${VALUE}"\n\nput log/a ${VALUE}2\n\nget log/a\n\n`);
    const hidden = `<${VALUE.length} bytes>`;
    const [put, putAnswer] = linesOf(proxy, "KV.Put");
    const { call, peer } = put ?? {};
    expect(put).toMatchObject({
      level: "info",
      caller: "grpc",
      msg: "grpc request",
      call: expect.any(Number) as number,
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      "grpc.service": "etcdserverpb.KV",
      "grpc.request.content": { key: "log/a", value: hidden },
    });
    expect(putAnswer).toMatchObject({
      msg: "grpc response",
      call: call as number,
      peer: peer as string,
      "grpc.code": "OK",
      "grpc.time_ms": expect.any(Number) as number,
    });
    const [range, rangeAnswer] = linesOf(proxy, "KV.Range");
    expect(contentOf(range)).toMatchObject({ key: "log/a" });
    expect(contentOf(rangeAnswer)).toMatchObject({ kvs: [{ key: "log/a", value: hidden }], count: "1" });
    expect(contentOf(linesOf(proxy, "KV.Txn")[0])).toMatchObject({
      compare: [{ target: "VALUE", key: "log/a", value: hidden }],
      success: [{ requestPut: { key: "log/a", value: `<${VALUE.length + 1} bytes>` } }],
      failure: [{ requestRange: { key: "log/a" } }],
    });
    expect(await proxy.stop()).toBe(0);
    expect(proxy.stderr.text).not.toContain(VALUE);
    expect(proxy.stderr.text).not.toContain(Buffer.from(VALUE).toString("base64"));
  });

  test("has each message of a watch, its beginning and its end", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    await using watch = new EtcdctlStream([proxy.address], ["watch", "log/w"]);
    await waitFor("the watch", () =>
      linesOf(proxy, "Watch.Watch").some(({ msg }) => msg === "grpc response"),
    );
    await ran(proxy, ["put", "log/w", VALUE]);
    expect(await watch.nextLines(3)).toEqual(["PUT", "log/w", VALUE]);
    await watch.stop("SIGKILL");
    await proxy.loggedWhere("the end of the watch", ({ msg }) => msg === "grpc call ended");
    const lines = linesOf(proxy, "Watch.Watch");
    expect(lines.map(({ msg }) => msg)).toEqual([
      "grpc call began",
      "grpc request",
      "grpc response",
      "grpc response",
      "grpc call ended",
    ]);
    expect(new Set(lines.map(({ call }) => call)).size).toBe(1);
    expect(contentOf(lines[1])).toMatchObject({ createRequest: { key: "log/w" } });
    expect(contentOf(lines[2])).toMatchObject({ created: true });
    expect(contentOf(lines[3])).toMatchObject({
      events: [{ kv: { key: "log/w", value: `<${VALUE.length} bytes>` } }],
    });
    expect(lines[4]).toMatchObject({ "grpc.code": "Canceled", "grpc.time_ms": expect.any(Number) as number });
    expect(proxy.stderr.text).not.toContain(VALUE);
  });

  test("has leases and their heartbeats", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    const id = /lease (\w+)/.exec(await ran(proxy, ["lease", "grant", "60"]))?.[1] ?? "";
    await ran(proxy, ["lease", "keep-alive", "--once", id]);
    await ran(proxy, ["lease", "revoke", id]);
    const ID = BigInt(`0x${id}`).toString();
    expect(contentOf(linesOf(proxy, "Lease.LeaseGrant")[1])).toMatchObject({ ID, TTL: "60" });
    const heartbeats = linesOf(proxy, "Lease.LeaseKeepAlive");
    expect(heartbeats.map(contentOf).filter((content) => content !== undefined)).toMatchObject([
      { ID },
      { ID, TTL: "60" },
    ]);
    expect(contentOf(linesOf(proxy, "Lease.LeaseRevoke")[0])).toEqual({ ID });
  });

  test("has the codes and messages of calls that fail", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    expect((await etcdctl([proxy.address], ["put", "", VALUE])).code).not.toBe(0);
    const ended = await proxy.loggedWhere("the end", ({ msg }) => msg === "grpc call ended");
    expect(ended).toMatchObject({
      "grpc.method": "Put",
      "grpc.code": "InvalidArgument",
      error: "etcdserver: key is not provided",
    });
  });

  test("has the length of a snapshot, and nothing of it", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    await ran(proxy, ["put", "log/s", VALUE]);
    using client = new GrpcClient(proxy.address);
    let received = 0;
    for await (const { blob } of client.serverStream(Maintenance.method.snapshot, {}))
      received += blob.length;
    await proxy.loggedWhere("the end", ({ msg }) => msg === "grpc call ended");
    const blobs = linesOf(proxy, "Maintenance.Snapshot")
      .map(contentOf)
      .map((content) =>
        Number(/^<(\d+) bytes>$/.exec(String((content as { blob?: string })?.blob))?.[1] ?? 0),
      );
    expect(blobs.reduce((sum, length) => sum + length, 0)).toBe(received);
    expect(proxy.stderr.text).not.toContain(VALUE);
  });

  test("has callers of other protocols and of methods that the proxy answers itself, once and with their address", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG]);
    for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
      const json = ["-H", "content-type: application/json", "-d"];
      const put = JSON.stringify({ key: btoa("log/json"), value: btoa(VALUE) });
      await curl(version, `http://${proxy.address}${methodPath(KV.method.put)}`, [...json, put]);
      await curl(version, `http://${proxy.address}/etcdserverpb.Cluster/MemberList`, [...json, "{}"]);
    }
    await ran(proxy, ["member", "list"]);
    const puts = linesOf(proxy, "KV.Put");
    expect(puts.map(({ msg }) => msg)).toEqual([
      "grpc request",
      "grpc response",
      "grpc request",
      "grpc response",
    ]);
    expect(contentOf(puts[0])).toEqual({ key: "log/json", value: `<${VALUE.length} bytes>` });
    const lists = linesOf(proxy, "Cluster.MemberList");
    const calls = ["HTTP/1.1", "HTTP/2", "etcdctl"];
    expect(lists.map(({ msg }) => msg)).toEqual(calls.flatMap(() => ["grpc request", "grpc response"]));
    expect(contentOf(lists[1])).toMatchObject({ members: [{ clientURLs: ["127.0.0.1:23790"] }] });
    for (const { peer } of [...puts, ...lists]) expect(peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(proxy.stderr.text).not.toContain(VALUE);
    expect(proxy.stderr.text).not.toContain(btoa(VALUE));
  });

  test("shows values to who asks for them, cut where they are long", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG, "--grpc-logging-values"]);
    await ran(proxy, ["put", "log/v", VALUE]);
    await ran(proxy, ["put", "log/long"], VALUE.repeat(30_000));
    const [put, , long] = linesOf(proxy, "KV.Put");
    expect(contentOf(put)).toEqual({ key: "log/v", value: VALUE });
    expect(long).toMatchObject({ cut: true });
    expect(contentOf(long)).toMatchObject({
      key: "log/long",
      value: expect.stringMatching(/… \(\d+ bytes\)$/) as string,
    });
    for (const line of proxy.stderr.lines) expect(Buffer.byteLength(line)).toBeLessThan(4096);
  });

  test("is silent where it was not asked for, and where its level is not logged", async () => {
    await using quiet = await startGrpcProxy(cluster.endpoints);
    await ran(quiet, ["put", "log/q", VALUE]);
    expect(await quiet.stop()).toBe(0);
    expect(quiet.stderr.text).not.toContain("grpc.");
    const [port = 0] = freePorts(1);
    const flags = [`--endpoints=${cluster.endpoints[0]}`, `--listen-addr=127.0.0.1:${port}`, CALL_LOG];
    await using above = new EtcdproxyProcess(["grpc-proxy", ...flags, "--log-level=warn"], {});
    await above.loggedWhere("what has no effect", ({ msg }) => msg.startsWith(`${CALL_LOG} is not used`));
    await waitFor("a call", async () => (await etcdctl([`127.0.0.1:${port}`], ["get", "log/q"])).code === 0);
    expect(await above.stop()).toBe(0);
    expect(above.log.filter(({ level }) => level !== "warn" && level !== "error")).toEqual([]);
  });
});

describe("with several workers", () => {
  test("each line tells its worker, and they all log", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG, "--workers=2"]);
    await waitFor("calls at both", async () => {
      await ran(proxy, ["put", "log/workers", VALUE]);
      const lines = linesOf(proxy, "KV.Put");
      for (const { worker } of lines) expect(worker).toBeOneOf([0, 1]);
      return new Set(lines.map(({ worker }) => worker)).size === 2;
    });
    expect(proxy.stderr.text).not.toContain(VALUE);
  });

  test("the level holds for all of them", async () => {
    await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG, "--workers=2", "--debug"]);
    await ran(proxy, ["put", "log/workers", VALUE]);
    expect(await proxy.stop()).toBe(0);
    expect(linesOf(proxy, "KV.Put")).toHaveLength(2);
  });
});

/** Last: nobody else may do anything once it is on. */
test("while authentication is on, no password and no token is in the log", async () => {
  await using proxy = await startGrpcProxy(cluster.endpoints, [CALL_LOG, "--grpc-logging-values", "--debug"]);
  await ran(proxy, ["user", "add", `root:${PASSWORD}`]);
  await ran(proxy, ["user", "grant-role", "root", "root"]);
  await ran(proxy, ["user", "add", "ann", "--new-user-password", PASSWORD]);
  await ran(proxy, ["user", "passwd", "ann", "--interactive=false"], `${PASSWORD}2\n`);
  await ran(proxy, ["auth", "enable"]);
  await ran(proxy, ["--user", `root:${PASSWORD}`, "put", "log/auth", VALUE]);
  expect((await etcdctl([proxy.address], ["--user", "root:x7-wrong", "get", "log/auth"])).code).not.toBe(0);
  using client = new GrpcClient(proxy.address);
  const { token } = await client.unary(Auth.method.authenticate, { name: "root", password: PASSWORD });
  const key = new TextEncoder().encode("log/auth");
  await client.unary(KV.method.range, { key }, { metadata: { token, authorization: token } });
  expect(await proxy.stop()).toBe(0);
  expect(contentOf(linesOf(proxy, "Auth.Authenticate")[0])).toMatchObject({
    name: "root",
    password: "<hidden>",
  });
  expect(contentOf(linesOf(proxy, "Auth.UserAdd")[0])).toMatchObject({ name: "root", password: "<hidden>" });
  expect(linesOf(proxy, "Auth.Authenticate").map(contentOf)).toContainEqual(
    expect.objectContaining({ token: "<hidden>" }),
  );
  expect(proxy.stderr.text).toContain(VALUE);
  for (const secret of [PASSWORD, token, "x7-wrong"]) {
    expect(secret.length).toBeGreaterThan(5);
    expect(proxy.stderr.text).not.toContain(secret);
    expect(proxy.stderr.text).not.toContain(Buffer.from(secret).toString("base64"));
  }
});
