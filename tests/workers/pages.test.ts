/** The pages of a process of several workers: on `--metrics-addr` they tell of all, or of the one that is asked for. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { curl, type CurlAnswer } from "../e2e/curl.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startGateway } from "../harness/etcdproxy-process.ts";
import { waitFor } from "../harness/wait-for.ts";
import { checkCpuProfile, checkHeapSnapshot } from "../observe/profile-formats.ts";
import { WorkerScene } from "./worker-scene.ts";

setDefaultTimeout(120_000);

const WORKERS = 3;
const READY = "[+]not_draining ok\n[+]member ok\n[+]certificate ok\n[+]linearizable_read ok\nok\n";

test("health and checks are those of every worker", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  await using scene = await WorkerScene.start(cluster.endpoints, WORKERS);
  const at = (path: string): Promise<CurlAnswer> => curl("HTTP/1.1", `${scene.metricsUrl}${path}`);
  await waitFor("readiness", async () => (await at("/readyz")).status === 200);
  expect(await at("/proxy/health")).toMatchObject({ status: 200, body: '{"health":"true","reason":""}' });
  expect((await at("/readyz?verbose")).body).toBe(READY);
  expect((await at("/readyz/member")).body).toBe("ok\n");
  expect((await at("/livez?verbose")).body).toBe("[+]event_loop ok\n[+]buffers ok\nok\n");
  expect((await at("/readyz/nothing")).status).toBe(404);
  expect(JSON.parse((await at("/version")).body)).toHaveProperty("etcdserver");
  expect((await at("/debug/pprof/")).status).toBe(404);

  await cluster.member(0).kill();
  const told = await waitFor("what fails", async () => {
    const answer = await at("/readyz?exclude=linearizable_read");
    return answer.status === 503 && answer;
  });
  expect(told.body).toContain("[+]not_draining ok\n");
  expect(told.body).toMatch(/^\[-\]member failed: worker \d: no member is connected: /m);
  expect((await at("/proxy/health")).status).toBe(503);
  expect((await at("/version")).status).toBe(502);
  expect((await at("/livez")).body).toBe("ok\n");
});

test("profiles are those of the worker that is asked for", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  await using scene = await WorkerScene.start(cluster.endpoints, WORKERS, ["--enable-pprof"]);
  const at = (path: string, rest: readonly string[] = []): Promise<CurlAnswer> =>
    curl("HTTP/1.1", `${scene.metricsUrl}/debug/pprof${path}`, rest);
  expect((await at("/")).body).toContain("from 0 to 2");
  for (let worker = 0; worker < WORKERS; worker++) {
    const { status, body } = await at(`/profile?seconds=0.2&worker=${worker}`, ["--include"]);
    expect(status).toBe(200);
    expect(body).toContain(`filename="etcdproxy-worker${worker}-cpu.cpuprofile"`);
    checkCpuProfile(Buffer.from(body.slice(body.indexOf("\r\n\r\n") + 4)));
  }
  const heap = await at("/heap?worker=2");
  expect(heap.status).toBe(200);
  checkHeapSnapshot(Buffer.from(heap.body));
  expect((await at("/cmdline")).body.split("\0").slice(1, 3)).toEqual(["grpc-proxy", "start"]);
  for (const worker of ["3", "-1", "x", ""]) {
    expect((await at(`/heap?worker=${worker}`)).status).toBe(400);
  }
  expect((await at("/heap", ["--header", "host: rebound.example"])).status).toBe(403);
  // Two of two workers at once are one too many.
  const both = await Promise.all([0, 1].map((worker) => at(`/profile?seconds=8&worker=${worker}`)));
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
  // One whose reader goes is over: the next need not wait for it.
  const reader = await waitFor("a profile that is under way", async () => {
    const leaving = new AbortController();
    const url = `${scene.metricsUrl}/debug/pprof/profile?seconds=60&worker=1`;
    fetch(url, { signal: leaving.signal }).catch(() => {});
    if ((await at("/heap?worker=99")).status === 409) return leaving;
    leaving.abort();
    return false;
  });
  reader.abort();
  const worker1 = "/profile?seconds=0.1&worker=1";
  await waitFor("its end", async () => (await at(worker1)).status === 200);
  // On the port of clients chance has chosen.
  const told = await curl("HTTP/1.1", `http://${scene.address}/debug/pprof/`);
  const [, own = ""] = /this is worker (\d)/.exec(told.body) ?? [];
  expect(Number(own)).toBeWithin(0, WORKERS);
});

test("a gateway's checks are those of every worker", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  await using gateway = await startGateway(cluster.endpoints, [
    "--workers=2",
    "--metrics-addr=http://127.0.0.1:0",
  ]);
  const url = String((await gateway.logged("listening for metrics"))["address"]);
  const at = (path: string): Promise<CurlAnswer> => curl("HTTP/1.1", `${url}${path}`);
  await waitFor("readiness", async () => (await at("/readyz")).status === 200);
  expect((await at("/readyz?verbose")).body).toBe("[+]not_draining ok\n[+]endpoint ok\nok\n");
  expect((await at("/livez?verbose")).body).toBe("[+]event_loop ok\nok\n");
  for (const path of ["/proxy/health", "/version", "/debug/pprof/"])
    expect((await at(path)).status).toBe(404);
  await cluster.member(0).kill();
  await waitFor("what fails", async () => {
    const { status, body } = await at("/readyz");
    return status === 503 && /^\[-\]endpoint failed: worker \d: no endpoint can be used: /m.test(body);
  });
});
