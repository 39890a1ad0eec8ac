/**
 * The compiled file needs nothing but the system's libc and /proc: it is started where there is nothing else, no
 * /etc, no /dev, no /tmp, no shell, and serves a real etcd's clients from there.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import { Chroot, chrootImpossible } from "./chrooted-etcdproxy.ts";

const reason = await chrootImpossible();

describe.skipIf(reason !== undefined)(`in a chroot${reason === undefined ? "" : ` (${reason})`}`, () => {
  let cluster: EtcdCluster;
  let chroot: Chroot;
  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
    chroot = await Chroot.create();
  });
  afterAll(async () => {
    chroot[Symbol.dispose]();
    await cluster.dispose();
    expect(existsSync(chroot.path)).toBe(false);
  });

  test("there is the executable and what it is linked with, and nothing else", () => {
    const names = chroot.files().map((path) => basename(path));
    expect(names.filter((name) => !/^(ld-linux-.*\.so\.\d|lib(c|m|dl|pthread)\.so\.\d)$/.test(name))).toEqual(
      ["etcdproxy"],
    );
    expect(names).toHaveLength(6);
  });

  test("version prints what it prints elsewhere", async () => {
    await using program = chroot.start(["version"]);
    expect(await program.ended()).toBe(0);
    await program.stdout.ended;
    expect(program.stdout.text).toContain(`Bun Version: ${Bun.version}`);
    expect(program.stderr.lines).toEqual([]);
  });

  test.each([
    ["gateway", "ready to proxy client requests"],
    ["grpc-proxy", "started gRPC proxy"],
  ])("%s serves etcdctl", async (product, ready) => {
    await using proxy = chroot.start([
      product,
      "start",
      "--listen-addr=127.0.0.1:0",
      `--endpoints=${cluster.endpoints.join(",")}`,
    ]);
    const address = await proxy.address(ready);
    expect(readlinkSync(`/proc/${proxy.pid}/root`)).toBe(chroot.path);
    expect(readlinkSync(`/proc/${proxy.pid}/cwd`)).toBe(`${chroot.path}/empty`);

    const key = `chroot/${product}`;
    await using watch = new EtcdctlStream([address], ["watch", key, "--rev=1"]);
    expect(await etcdctl([address], ["put", key, "served"])).toMatchObject({ code: 0, stdout: "OK\n" });
    expect((await etcdctl([address], ["get", key])).stdout).toBe(`${key}\nserved\n`);
    expect(await watch.nextLines(3)).toEqual(["PUT", key, "served"]);
    expect(await proxy.stop()).toBe(0);
  });

  test("the grpc-proxy answers HTTP/1.1 and JSON", async () => {
    await using proxy = chroot.start([
      "grpc-proxy",
      "--listen-addr=127.0.0.1:0",
      `--endpoints=${cluster.endpoints.join(",")}`,
    ]);
    const address = await proxy.address("started gRPC proxy");
    const health = await fetch(`http://${address}/health`, { keepalive: false });
    expect(await health.json()).toEqual({ health: "true", reason: "" });
    const metrics = await fetch(`http://${address}/metrics`, { keepalive: false });
    expect(await metrics.text()).toContain("etcd_server_has_leader 1");
    const status = await fetch(`http://${address}/etcdserverpb.Maintenance/Status`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
      keepalive: false,
    });
    expect(await status.json()).toMatchObject({ version: expect.stringMatching(/^3\.\d+\.\d+/) });
  });

  test("nothing was written there", () => {
    expect(chroot.files()).toHaveLength(6);
  });

  test("its /proc was seen by nobody else", () => {
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(chroot.path);
  });
});
