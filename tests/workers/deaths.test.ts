/** A worker dies: the others serve on, another takes its place, and caches and counters are right all the time. */
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "bun:test";
import { ReadClient, SERIALIZABLE } from "../e2e/reads/read-client.ts";
import { spawnPiped } from "../harness/child-process.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { valueOf } from "../harness/exposition.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { WorkerClients } from "./worker-scene.ts";

const WORKERS = 3;
const DEATHS = 3;
const program = fileURLToPath(new URL("mortal-proxy.ts", import.meta.url));

test("workers that die are replaced, and nobody reads what is old", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  using folder = new TemporaryFolder("deaths");
  const death = folder.file("die");
  const listen = ["--listen-addr=127.0.0.1:0", "--metrics-addr=http://127.0.0.1:0", `--workers=${WORKERS}`];
  const rest = ["grpc-proxy", `--endpoints=${cluster.endpoints[0]}`, "--cache-max-age=10m", ...listen];
  const child = spawnPiped([process.execPath, program, ...rest], {
    env: { ETCDPROXY_TEST_DEATH: death },
  });
  try {
    const stderr = new LineLog("the proxy", child.stderr);
    const logged = (message: string): Promise<Record<string, unknown>> =>
      stderr.find(message, (line) =>
        line.includes(`"msg":"${message}"`) ? (JSON.parse(line) as Record<string, unknown>) : undefined,
      );
    const metricsUrl = String((await logged("listening for metrics"))["address"]);
    const address = String((await logged("started gRPC proxy"))["address"]);
    let counted = 0;
    for (let round = 1; round <= DEATHS; round++) {
      using scene = new WorkerClients(address, metricsUrl, WORKERS);
      const clients = await scene.clientOfEach();
      for (let turn = 0; turn < 2 * WORKERS; turn++) {
        const value = `${round}.${turn}`;
        await clients[turn % WORKERS]!.put("death/key", value);
        const read = await Promise.all(clients.map((client) => client.get("death/key", SERIALIZABLE)));
        expect(read).toEqual(clients.map(() => value));
      }
      const misses = valueOf(await scene.metrics(), "etcd_grpc_proxy_cache_misses_total");
      expect(misses).toBeGreaterThan(counted);
      counted = misses;

      writeFileSync(death, "");
      await waitFor("a death", () => !existsSync(death));
      // Nobody is turned away for long meanwhile: what the dead one had not accepted is reset, and comes again.
      for (let visit = 0; visit < 10; visit++) {
        using visitor = new ReadClient(address);
        await waitFor("an answer", () => visitor.get("death/key").catch(() => false));
      }
      await waitFor("its successor", async () => {
        const families = await scene.metrics();
        // What the dead one counted still counts.
        expect(valueOf(families, "etcd_grpc_proxy_cache_misses_total")).toBeGreaterThanOrEqual(counted);
        const up = [0, 1, 2].map((worker) => valueOf(families, `etcdproxy_worker_up{worker="${worker}"}`));
        const deaths = valueOf(families, "etcdproxy_worker_deaths_total");
        return deaths === round && up.every((each) => each === 1);
      });
    }
    const told = stderr.lines.filter((line) =>
      line.includes("a worker has died, and another one takes its place"),
    );
    expect(told).toHaveLength(DEATHS);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await child.exited;
  }
}, 120_000);
