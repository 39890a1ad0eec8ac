/** A worker goes round in a loop without end: it is ended and replaced, and the service manager need not start all anew. */
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "bun:test";
import { spawnPiped } from "../harness/child-process.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { LineLog } from "../harness/line-log.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { clientsOf, metricsAt } from "./worker-scene.ts";

const WORKERS = 2;
const program = fileURLToPath(new URL("mortal-proxy.ts", import.meta.url));
/** It is found after half a minute. */
const FOUND_MAX_MS = 90_000;

test("a worker that hangs is replaced, and the watchdog hears of life all the time", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  using folder = new TemporaryFolder("hangs");
  await using receiver = await NotifyReceiver.bind(folder.file("notify"));
  const death = folder.file("die");
  const listen = ["--listen-addr=127.0.0.1:0", "--metrics-addr=http://127.0.0.1:0", `--workers=${WORKERS}`];
  const rest = ["grpc-proxy", `--endpoints=${cluster.endpoints[0]}`, ...listen];
  const child = spawnPiped([process.execPath, program, ...rest], {
    env: { ETCDPROXY_TEST_DEATH: death, NOTIFY_SOCKET: receiver.name, WATCHDOG_USEC: "2000000" },
  });
  try {
    const stderr = new LineLog("the proxy", child.stderr);
    const logged = (message: string, deadlineMs?: number): Promise<Record<string, unknown>> =>
      stderr.find(
        message,
        (line) =>
          line.includes(`"msg":"${message}"`) ? (JSON.parse(line) as Record<string, unknown>) : undefined,
        deadlineMs,
      );
    const metricsUrl = String((await logged("listening for metrics"))["address"]);
    await receiver.nth("READY");
    writeFileSync(`${death}.new`, "hang");
    // In one step: nobody reads a file that is still empty.
    renameSync(`${death}.new`, death);
    await waitFor("a worker to hang", () => !existsSync(death));
    const { length } = receiver.notices;
    const { worker } = await logged("a worker hangs, and is ended", FOUND_MAX_MS);
    expect(await logged("a worker has started again")).toMatchObject({ worker });
    await waitFor("all workers to tell of themselves", async () =>
      clientsOf(await metricsAt(metricsUrl), WORKERS).every((clients) => clients >= 0),
    );
    // About thirty came; a machine that is busy makes the interval no longer than it makes the half minute.
    expect(receiver.notices.length - length).toBeGreaterThan(15);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await child.exited;
  }
}, 180_000);
