/** What the executable tells the service manager that has started it, and when. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { RenewedFiles } from "../e2e/tls/renewed-files.ts";
import { CertificateAuthority } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { type EtcdproxyProcess, runEtcdproxy, startProxy } from "../harness/etcdproxy-process.ts";
import { type Notice, NotifyReceiver } from "../harness/notify-receiver.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";

setDefaultTimeout(120_000);

let cluster: EtcdCluster;
let folder: TemporaryFolder;
let sockets = 0;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  folder = new TemporaryFolder("notify");
});
afterAll(async () => {
  folder[Symbol.dispose]();
  await cluster.dispose();
});

function bind(): Promise<NotifyReceiver> {
  return NotifyReceiver.bind(folder.file(`socket-${++sockets}`));
}

function start(
  receiver: NotifyReceiver,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<EtcdproxyProcess> {
  const [product = "", ...flags] = words;
  const rest = [product, "start", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints[0]}`];
  return startProxy([...rest, ...flags], { env: { NOTIFY_SOCKET: receiver.name, ...env } });
}

function statusOf({ assigned }: Notice): string | undefined {
  return assigned["STATUS"];
}

describe.each([
  [["gateway"], ""],
  [["grpc-proxy"], ""],
  [["gateway", "--workers=2"], ", 2 workers"],
  [["grpc-proxy", "--workers=3"], ", 3 workers"],
] as const)("%j", (words, workers) => {
  test("tells that it starts, serves, reads its files anew, serves again and stops", async () => {
    await using receiver = await bind();
    await using proxy = await start(receiver, words);
    const ready = await receiver.nth("READY");
    expect(statusOf(ready)).toBe(`serving clients at ${proxy.address}${workers}`);
    expect(await etcdctl([proxy.address], ["put", "notify", "ready"])).toMatchObject({ code: 0 });

    proxy.kill("SIGHUP");
    const reloading = await receiver.nth("RELOADING");
    const again = await receiver.nth("READY", 2);
    // systemd waits for a time behind that of its own signal.
    const clock = Number(reloading.assigned["MONOTONIC_USEC"]);
    expect(clock).toBeGreaterThan(ready.micros);
    expect(clock).toBeLessThanOrEqual(reloading.micros);
    expect(statusOf(reloading)).toBe("reading files anew");
    expect(statusOf(again)).toBe(statusOf(ready));

    expect(await proxy.stop()).toBe(0);
    const stopping = await receiver.nth("STOPPING");
    expect(statusOf(stopping)).toBe("stopping: clients may finish within 30 s");
    expect(stopping.assigned["EXTEND_TIMEOUT_USEC"]).toBe("40000000");
    expect(receiver.states).toEqual(["STATUS", "READY", "RELOADING", "READY", "STOPPING"]);
    expect(receiver.notices.map(({ pid }) => pid)).toEqual(receiver.notices.map(() => proxy.pid));
  });
});

test("a name in the abstract namespace is as good as a path", async () => {
  await using receiver = await NotifyReceiver.bind(`@etcdproxy-test-${process.pid}`);
  await using proxy = await start(receiver, ["grpc-proxy"]);
  await receiver.nth("READY");
  expect(await proxy.stop()).toBe(0);
  expect(receiver.states).toEqual(["STATUS", "READY", "STOPPING"]);
});

test("it is ready again when each worker has read its files", async () => {
  using files = new RenewedFiles();
  const authority = await CertificateAuthority.create(files, "outer");
  files.write(await authority.server("server"), "in place");
  await using receiver = await bind();
  await using proxy = await start(receiver, ["grpc-proxy", "--workers=2", ...files.clientFlags]);
  await receiver.nth("READY");
  files.write(await authority.server("server"), "in place");
  proxy.kill("SIGHUP");
  await receiver.nth("READY", 2);
  const read = proxy.log.filter(({ msg }) => msg === "read TLS files anew");
  expect(new Set(read.map(({ worker }) => worker)).size).toBe(2);
});

test("STOPPING comes with the first signal, while clients still finish, and is the last that is told", async () => {
  await using receiver = await bind();
  await using proxy = await start(receiver, ["gateway", "--drain-timeout=10m"]);
  const [hostname = "", port] = proxy.address.split(":");
  const client = connect(Number(port), hostname).on("error", () => {});
  await waitFor("a client that is connected", () => client.readyState === "open");
  client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  await new Promise((resolve) => client.once("data", resolve));
  proxy.kill("SIGTERM");
  const { assigned } = await receiver.nth("STOPPING");
  expect(assigned["EXTEND_TIMEOUT_USEC"]).toBe("610000000");
  expect(proxy.running).toBe(true);
  proxy.kill("SIGHUP");
  client.destroy();
  expect(await proxy.exited).toBe(0);
  expect(receiver.states).toEqual(["STATUS", "READY", "STOPPING"]);
});

test("why it could not start stands in its status", async () => {
  await using receiver = await bind();
  const { code } = await runEtcdproxy(["gateway", "--listen-addr=127.0.0.1:0", "--endpoints=unix:///x"], {
    env: { NOTIFY_SOCKET: receiver.name },
  });
  expect(code).toBe(1);
  await receiver.nth("STATUS", 2);
  expect(receiver.states).toEqual(["STATUS", "STATUS"]);
  expect(statusOf(receiver.notices[1]!)).toContain("--endpoints");
});

describe("the watchdog", () => {
  test("gets a sign of life at half its period, from the start to the end of a stop", async () => {
    await using receiver = await bind();
    const env = { WATCHDOG_USEC: "200000", NOTIFY_SOCKET: receiver.name };
    await using proxy = await start(receiver, ["grpc-proxy", "--workers=2"], env);
    const tenth = await receiver.nth("WATCHDOG", 10);
    const ready = await receiver.nth("READY");
    // Ten halves of a period; a machine that is busy only makes it more.
    expect(tenth.micros - ready.micros).toBeGreaterThan(800_000);
    expect(await proxy.stop()).toBe(0);
  });

  test("gets none while the process is held up", async () => {
    await using receiver = await bind();
    await using proxy = await start(receiver, ["gateway"], { WATCHDOG_USEC: "100000" });
    await receiver.nth("WATCHDOG");
    proxy.kill("SIGSTOP");
    await waitFor("the process to stand still", () =>
      /^\d+ \(.*\) T/.test(readFileSync(`/proc/${proxy.pid}/stat`, "utf8")),
    );
    const { length } = receiver.notices;
    await Bun.sleep(500);
    expect(receiver.notices.length - length).toBeLessThanOrEqual(1);
    proxy.kill("SIGCONT");
    await waitFor("signs of life", () => receiver.notices.length > length + 2);
  });

  test("that waits for another process gets none", async () => {
    await using receiver = await bind();
    await using proxy = await start(receiver, ["gateway"], { WATCHDOG_USEC: "1000", WATCHDOG_PID: "1" });
    await receiver.nth("READY");
    await etcdctl([proxy.address], ["get", "meanwhile"]);
    expect(await proxy.stop()).toBe(0);
    expect(receiver.states).toHaveLength(receiver.notices.length);
  });
});

describe("a service manager that does not listen", () => {
  test.each([
    ["/nowhere/notify", "the service manager does not take what it is told"],
    ["vsock:2:1234", "NOTIFY_SOCKET cannot be used: the service manager is told nothing"],
  ])("%s is a line in the log, and clients are served", async (name, line) => {
    const rest = ["gateway", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints[0]}`];
    await using proxy = await startProxy(rest, { env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: "100000" } });
    expect(await proxy.logged(line)).toMatchObject({ level: "warn", caller: "service-manager" });
    expect(await etcdctl([proxy.address], ["get", "served"])).toMatchObject({ code: 0 });
    expect(await proxy.stop()).toBe(0);
  });

  test("without one nothing is said of it", async () => {
    const rest = ["gateway", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints[0]}`];
    await using proxy = await startProxy(rest, { env: { WATCHDOG_USEC: "100000" } });
    expect(await proxy.stop()).toBe(0);
    expect(proxy.log.filter(({ caller }) => caller === "service-manager")).toEqual([]);
  });
});
