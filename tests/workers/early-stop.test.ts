/** A stop while later workers still start: those who are served already may finish. */
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, test } from "bun:test";
import { spawnPiped } from "../harness/child-process.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { freePorts } from "../harness/free-ports.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";

const program = fileURLToPath(new URL("half-started-proxy.ts", import.meta.url));
/** An HTTP/2 client that has said all there is to say at first. */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

test("the clients of the workers that serve may finish", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  using folder = new TemporaryFolder("early");
  const [port = 0] = freePorts(1);
  const rest = ["gateway", `--endpoints=${cluster.endpoints[0]}`, `--listen-addr=127.0.0.1:${port}`];
  const child = spawnPiped([process.execPath, program, ...rest, "--workers=3", "--drain-timeout=10m"], {
    env: { ETCDPROXY_TEST_FIRST: folder.file("first") },
  });
  const stderr = new LineLog("the proxy", child.stderr);
  const logged = (message: string): Promise<string> =>
    stderr.find(message, (line) => (line.includes(`"msg":"${message}"`) ? line : undefined));
  try {
    let heard = 0;
    const client = await waitFor("a client that is served", async () => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      const served = new Promise<boolean>((resolve) => {
        socket.on("data", ({ length }) => {
          heard += length;
          resolve(true);
        });
        socket.on("close", () => resolve(false));
      });
      socket.write(PREFACE);
      return (await served) && socket;
    });
    child.kill("SIGTERM");
    expect(await logged("draining: clients may finish")).toContain('"clients":1');
    const before = heard;
    client.write("\0\0\x08\x06\0\0\0\0\0pingpong");
    await waitFor("its answer", () => heard > before);
    client.destroy();
    expect(await child.exited).toBe(0);
    expect(stderr.text).not.toContain("ready to proxy client requests");
    expect(stderr.text).toContain('"msg":"stopped"');
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await child.exited;
  }
}, 120_000);
