/**
 * What the grpc-proxy's pages say when something is wrong: members that hang or are down, authentication, a stop, folders that
 * take no socket, readers who go away.
 */
import { readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { runCommand } from "../../harness/child-process.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { testSince } from "../../harness/etcd-version.ts";
import { type EtcdproxyProcess, startGrpcProxy, startProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { curl, type CurlAnswer } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { HEALTHY, OWN_USER, type OwnUserScene, ownUserScene } from "../own-user/scene.ts";

setDefaultTimeout(120_000);

const at = (address: string, path: string, rest: readonly string[] = []): Promise<CurlAnswer> =>
  curl("HTTP/1.1", `http://${address}${path}`, rest);

interface Told {
  readonly status: number;
  readonly reason: string;
}

async function health({ address }: EtcdproxyProcess, path = "/proxy/health"): Promise<Told> {
  const { status, body } = await at(address, path);
  return { status, reason: (JSON.parse(body) as { reason: string }).reason };
}

let cluster: EtcdCluster | null = null;
let proxy: EtcdproxyProcess | null = null;

async function scene(members: 1 | 3, flags: readonly string[] = []) {
  cluster = await startEtcdCluster({ members });
  proxy = await startGrpcProxy(cluster.endpoints, flags);
  return { cluster, proxy };
}

afterEach(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await cluster?.dispose();
  proxy = cluster = null;
}, 60_000);

describe("a member", () => {
  test.each([
    ["hangs", []],
    [
      "hangs, with watches and reads that are forwarded",
      ["--watch-coalescing=false", "--read-coalescing=false"],
    ],
  ])("that %s makes the proxy ill and not ready, but lets it live", async (_what, flags) => {
    const { cluster, proxy } = await scene(1, flags);
    expect(await health(proxy)).toEqual({ status: 200, reason: "" });
    cluster.member(0).stop();
    const told = await health(proxy);
    expect([told.status, told.reason]).toEqual([503, expect.stringMatching(/^a (read|watch)/)]);
    const ready = await at(proxy.address, "/readyz");
    expect([ready.status, ready.body]).toEqual([
      503,
      expect.stringContaining("[-]linearizable_read failed: "),
    ]);
    expect(await at(proxy.address, "/livez")).toMatchObject({ status: 200, body: "ok\n" });
    cluster.member(0).continue();
    await waitFor("health", async () => (await health(proxy)).status === 200);
    await waitFor("readiness", async () => (await at(proxy.address, "/readyz")).status === 200);
  });

  test("that is down is named by every page that wants it, and none crashes", async () => {
    const { cluster, proxy } = await scene(1);
    await cluster.member(0).kill();
    await waitFor("no member", async () => (await at(proxy.address, "/readyz/member")).status === 503);
    const told = await health(proxy);
    expect([told.status, told.reason]).toEqual([503, expect.stringContaining(cluster.endpoints[0]!)]);
    const ready = await at(proxy.address, "/readyz?exclude=linearizable_read");
    expect(ready.body).toContain(`[-]member failed: no member is connected: ${cluster.endpoints[0]}: `);
    for (const path of ["/version", "/metrics"]) {
      // A version that was asked for a moment ago is told.
      const answer = await waitFor("a 502", async () => {
        const found = await at(proxy.address, path);
        return found.status === 502 && found;
      });
      expect(answer.body).toContain(`${cluster.endpoints[0]}: `);
    }
    expect((await at(proxy.address, "/livez")).status).toBe(200);
    cluster.member(0).restart();
    await waitFor("health", async () => (await health(proxy)).status === 200);
    expect((await at(proxy.address, "/version")).status).toBe(200);
  });

  test("that hangs or is down leaves /version and /metrics to another one", async () => {
    const { cluster, proxy } = await scene(3, ["--health-check-interval=0"]);
    const { endpoint: named } = await proxy.logged("connected to a member");
    const inUse = cluster.members.find(({ endpoint }) => endpoint === named)!;
    inUse.stop();
    for (const path of ["/version", "/metrics"]) expect((await at(proxy.address, path)).status).toBe(200);
    inUse.continue();
    await inUse.kill();
    for (const path of ["/version", "/metrics"]) expect((await at(proxy.address, path)).status).toBe(200);
    await waitFor("health", async () => (await health(proxy)).status === 200);
  });

  test("without a leader makes the proxy ill", async () => {
    const { cluster, proxy } = await scene(3);
    expect((await health(proxy)).status).toBe(200);
    await Promise.all([cluster.member(0).kill(), cluster.member(1).kill()]);
    await waitFor("illness", async () => (await health(proxy)).status === 503);
    expect((await at(proxy.address, "/readyz/linearizable_read")).status).toBe(503);
  });
});

testSince("3.5.11", "/readyz has the form of a member's", async () => {
  const { cluster, proxy } = await scene(1);
  for (const path of ["/readyz", "/readyz/linearizable_read?verbose", "/readyz?exclude=nothing"]) {
    const [ours, theirs] = [await at(proxy.address, path), await at(cluster.endpoints[0]!, path)];
    expect(ours).toEqual(theirs);
  }
  const form = /^(\[\+\]\w+ ok\n)+ok\n$/;
  for (const address of [proxy.address, cluster.endpoints[0]!]) {
    for (const path of ["/readyz?verbose", "/livez?verbose"]) {
      expect((await at(address, path)).body).toMatch(form);
    }
  }
  expect((await at(proxy.address, "/readyz/nothing")).status).toBe(404);
});

test("inside a namespace the pages are as they are outside", async () => {
  const { proxy } = await scene(1, ["--namespace=inside/", "--namespace-strict"]);
  for (const path of ["/health", "/proxy/health", "/readyz", "/livez", "/version", "/metrics"]) {
    expect((await at(proxy.address, path)).status).toBe(200);
  }
});

describe("while authentication is on", () => {
  let owned: OwnUserScene;
  beforeEach(async () => {
    owned = await ownUserScene("simple", { shortTokens: false });
  }, 60_000);
  afterEach(() => owned[Symbol.asyncDispose]());

  test("a proxy is as healthy without a user as with one", async () => {
    await owned.accounts.enable();
    await using nobodys = await startGrpcProxy(owned.cluster.endpoints);
    const own = await owned.proxy();
    for (const each of [nobodys, own]) {
      expect(await at(each.address, "/proxy/health")).toMatchObject(HEALTHY);
      expect((await at(each.address, "/readyz")).status).toBe(200);
    }
    // In its name, once it is signed in: nothing is refused.
    await waitFor(`the token of ${OWN_USER}`, async () => {
      const before = await owned.handled("Range", "not OK");
      await at(own.address, "/proxy/health");
      return (await owned.handled("Range", "not OK")) === before;
    });
  });
});

describe("a proxy that is about to stop", () => {
  test("says so on every page of health, and lives", async () => {
    const { cluster, proxy } = await scene(1, ["--metrics-addr=http://127.0.0.1:0"]);
    const { address } = await proxy.logged("listening for metrics");
    const pages = String(address).replace("http://", "");
    using client = new GrpcClient(proxy.address);
    cluster.member(0).stop();
    const stuck = client.unary(KV.method.range, { key: bytes("stuck") });
    void stuck.catch(() => {});
    await waitFor("a request", async () => (await at(pages, "/proxy/health")).status === 503);
    proxy.kill("SIGTERM");
    await proxy.logged("stopping");
    await waitFor("readiness to end", async () => {
      return (await at(pages, "/readyz/not_draining")).status === 503;
    });
    for (const path of ["/health", "/proxy/health"]) {
      expect(await at(pages, path)).toMatchObject({
        status: 503,
        body: '{"health":"false","reason":"draining"}',
      });
    }
    expect((await at(pages, "/readyz?exclude=linearizable_read")).body).toContain(
      "[-]not_draining failed: the proxy is about to stop\n",
    );
    expect((await at(pages, "/livez")).status).toBe(200);
    cluster.member(0).continue();
    await stuck.catch(() => {});
    expect(await proxy.exited).toBe(0);
  });

  test("does not wait for a profile", async () => {
    const { proxy } = await scene(1, ["--enable-pprof", "--drain-timeout=1h"]);
    // Of two one is refused at once: then the other is under way.
    const both = [0, 1].map(() => at(proxy.address, "/debug/pprof/profile?seconds=60"));
    expect((await Promise.race(both)).status).toBe(409);
    proxy.kill("SIGTERM");
    const statuses = (await Promise.all(both)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409]);
    expect(await proxy.exited).toBe(0);
  });
});

describe("the socket of /proxy/health", () => {
  const starting = (endpoints: readonly string[], env: Record<string, string | undefined>) =>
    startProxy(["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", `--endpoints=${endpoints.join(",")}`], {
      env: { RUNTIME_DIRECTORY: undefined, XDG_RUNTIME_DIR: undefined, ...env },
    });

  test("leaves nothing behind, not even when the proxy is killed", async () => {
    cluster = await startEtcdCluster({ members: 1 });
    using folder = new TemporaryFolder("runtime");
    proxy = await starting(cluster.endpoints, { XDG_RUNTIME_DIR: folder.path });
    expect(readdirSync(folder.path)).toEqual([]);
    expect(await health(proxy)).toEqual({ status: 200, reason: "" });
    await waitFor("nothing", () => readdirSync(folder.path).length === 0);
    // The connection is kept: a second request needs no folder.
    folder[Symbol.dispose]();
    expect(await health(proxy)).toEqual({ status: 200, reason: "" });
    proxy.kill("SIGKILL");
    await proxy.exited;
  });

  test("is missed with a reason where no folder takes it, and the proxy serves", async () => {
    cluster = await startEtcdCluster({ members: 1 });
    proxy = await starting(cluster.endpoints, { TMPDIR: "/proc/1" });
    const { status, reason } = await health(proxy);
    expect([status, reason]).toEqual([503, expect.stringContaining("for want of a Unix socket: /proc/1: ")]);
    expect((await health(proxy, "/health")).status).toBe(200);
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.range, { key: bytes("key") });
  });
});

describe("profiles", () => {
  test("are not there without --enable-pprof", async () => {
    const { proxy } = await scene(1);
    for (const path of ["/debug/pprof", "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap"]) {
      expect(await at(proxy.address, path)).toMatchObject({
        status: 404,
        body: `${path} is not served here\n`,
      });
    }
  });

  test.each(["--http1.1", "--http2-prior-knowledge"])("end when their reader goes (%s)", async (version) => {
    const { proxy } = await scene(1, ["--enable-pprof"]);
    const url = `http://${proxy.address}/debug/pprof/profile?seconds=60`;
    const { code } = await runCommand(["curl", "--silent", version, "--max-time", "1", url]);
    expect(code).toBe(28); // It has given up.
    await waitFor("another profile", async () => {
      return (await at(proxy.address, "/debug/pprof/profile?seconds=0.1")).status === 200;
    });
  });
});
