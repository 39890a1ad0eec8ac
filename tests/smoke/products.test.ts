/**
 * Both products of the compiled file in front of a real etcd: they carry etcdctl, say when they are ready, and
 * stop when they are asked to.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { runCommand } from "../harness/child-process.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import {
  runEtcdproxy,
  startGateway,
  startGrpcProxy,
  type EtcdproxyProcess,
} from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";

const products = { gateway: startGateway, "grpc-proxy": startGrpcProxy } as const;
const names = ["gateway", "grpc-proxy"] as const;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
});
afterAll(() => cluster.dispose());

describe.each(names)("%s", (name) => {
  let proxy: EtcdproxyProcess;
  beforeAll(async () => {
    proxy = await products[name](cluster.endpoints);
  });
  afterAll(async () => {
    expect(await proxy.stop()).toBe(0);
  });

  test("carries put and get", async () => {
    const put = await etcdctl([proxy.address], ["put", `${name}/colour`, "green"]);
    expect(put).toMatchObject({ code: 0, stdout: "OK\n" });
    const got = await etcdctl([proxy.address], ["get", `${name}/colour`]);
    expect(got).toMatchObject({ code: 0, stdout: `${name}/colour\ngreen\n` });
  });

  test("what is put through it is in the cluster", async () => {
    await etcdctl([proxy.address], ["put", `${name}/shape`, "round"]);
    expect((await etcdctl(cluster.endpoints, ["get", `${name}/shape`])).stdout).toBe(
      `${name}/shape\nround\n`,
    );
  });

  test("carries a watch: an event of the past, then those that come", async () => {
    const key = `${name}/news`;
    await etcdctl(cluster.endpoints, ["put", key, "old"]);
    await using watch = new EtcdctlStream([proxy.address], ["watch", key, "--rev=1"]);
    expect(await watch.nextLines(3)).toEqual(["PUT", key, "old"]);
    await etcdctl([proxy.address], ["put", key, "new"]);
    expect(await watch.nextLines(3)).toEqual(["PUT", key, "new"]);
    await etcdctl([proxy.address], ["del", key]);
    expect(await watch.nextLines(2)).toEqual(["DELETE", key]);
  });

  test("carries a lease that etcdctl keeps alive", async () => {
    const granted = await etcdctl([proxy.address], ["lease", "grant", "60"]);
    const lease = /^lease (\w+) granted with TTL\(60s\)/.exec(granted.stdout)?.[1] ?? "none";
    const kept = await etcdctl([proxy.address], ["lease", "keep-alive", "--once", lease]);
    expect(kept).toMatchObject({ code: 0, stdout: `lease ${lease} keepalived with TTL(60)\n` });
  });

  test("hands etcd's own refusal on", async () => {
    const { code, stderr } = await etcdctl([proxy.address], ["put", "", "no key"]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("etcdserver: key is not provided");
  });

  test("writes nothing to standard output, and only JSON lines to standard error", () => {
    expect(proxy.stdout.lines).toEqual([]);
    expect(proxy.log).toHaveLength(proxy.stderr.lines.length);
    for (const entry of proxy.log) {
      expect(Object.keys(entry).slice(0, 4)).toEqual(["level", "ts", "caller", "msg"]);
    }
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s ends it with exit status 0 and frees its port",
    async (signal) => {
      await using stopped = await products[name](cluster.endpoints, ["--drain-timeout=500ms"]);
      await using watch = new EtcdctlStream([stopped.address], ["watch", "anything", "--rev=1"]);
      await etcdctl([stopped.address], ["put", "anything", "seen"]);
      await watch.nextLines(3);
      stopped.kill(signal);
      expect(await stopped.exited).toBe(0);
      const messages = stopped.log.map(({ msg }) => msg);
      expect(messages.slice(messages.indexOf("stopping"))).toEqual([
        "stopping",
        "draining: clients may finish",
        // A watch goes on for ever: only the grpc-proxy knows one when it sees it.
        name === "gateway"
          ? "the drain timeout is over: what clients have open is cut"
          : "drained: no client is left",
        "stopped",
      ]);
      const port = Number(stopped.address.split(":")[1]);
      using listener = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
      expect(listener.port).toBe(port);
    },
  );
});

test.each(names)(
  "%s refuses to serve in front of itself, by one line that names the address",
  async (name) => {
    const address = `127.0.0.1:${freePorts(1)[0]}`;
    const { code, stderr } = await runEtcdproxy([
      name,
      "start",
      `--listen-addr=${address}`,
      `--endpoints=${address}`,
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^etcdproxy: [^\n]* should not resolve to [^\n]*\n$/);
    expect(stderr).toContain(address);
  },
);

test("the gateway's ready line names its address and its endpoints", async () => {
  await using gateway = await startGateway(cluster.endpoints);
  expect(await gateway.logged("ready to proxy client requests")).toMatchObject({
    level: "info",
    caller: "gateway",
    address: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
    endpoints: cluster.endpoints,
  });
});

test("the grpc-proxy's ready line names its address", async () => {
  await using proxy = await startGrpcProxy(cluster.endpoints);
  expect(await proxy.logged("started gRPC proxy")).toMatchObject({
    level: "info",
    caller: "grpc-proxy",
    address: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
  });
});

describe("the grpc-proxy's one port", () => {
  let proxy: EtcdproxyProcess;
  beforeAll(async () => {
    proxy = await startGrpcProxy(cluster.endpoints, ["--advertise-client-url=proxy.example.com:23790"]);
    await etcdctl(cluster.endpoints, ["put", "foo", "bar"]);
  });
  afterAll(async () => {
    await proxy.stop();
  });

  /** Runs curl on a path of the proxy and gives the answer's body. */
  async function curl(protocol: string, path: string, ...rest: string[]): Promise<string> {
    const command = ["curl", "--silent", "--show-error", "--fail", protocol, ...rest];
    const { stdout, stderr } = await runCommand([...command, `http://${proxy.address}${path}`]);
    expect(stderr).toBe("");
    return stdout;
  }

  describe.each(["--http1.1", "--http2-prior-knowledge"])("for curl %s", (protocol) => {
    test("/health tells that the cluster can be read", async () => {
      expect(await curl(protocol, "/health")).toBe('{"health":"true","reason":""}');
    });

    test("/metrics shows a member's metrics", async () => {
      expect(await curl(protocol, "/metrics")).toContain("\netcd_server_has_leader 1\n");
    });

    test("a call in JSON is answered in JSON", async () => {
      const json = ["--header", "content-type: application/json", "--data", `{"key":"${btoa("foo")}"}`];
      expect(JSON.parse(await curl(protocol, "/etcdserverpb.KV/Range", ...json))).toMatchObject({
        kvs: [{ key: btoa("foo"), value: btoa("bar") }],
        count: "1",
      });
    });
  });

  test("MemberList names the proxy under its --advertise-client-url", async () => {
    const { stdout } = await etcdctl([proxy.address], ["member", "list"]);
    expect(stdout).toStartWith(`0, started, ${hostname()}, , proxy.example.com:23790`);
    expect(stdout.match(/\n/g)).toHaveLength(1);
  });
});

test("a grpc-proxy without --advertise-client-url lists the cluster's members", async () => {
  await using proxy = await startGrpcProxy(cluster.endpoints, ["--advertise-client-url="]);
  expect((await etcdctl([proxy.address], ["member", "list"])).stdout).toContain(
    `http://${cluster.member(0).endpoint}`,
  );
});
