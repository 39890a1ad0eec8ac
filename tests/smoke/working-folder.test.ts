/**
 * The compiled file trusts nothing in the folder it is started from: no .env, no bunfig.toml, no module.
 * Bun's executables read both files unless they are built not to, and a `preload` is code that runs.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { runEtcdproxy, startProxy } from "../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

/** Variables of the environment come before those of a .env. */
const withoutHttpProxy = Object.fromEntries(
  ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"].map((name) => [name, undefined]),
);

let cluster: EtcdCluster;
let folder: TemporaryFolder;

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  folder = new TemporaryFolder("hostile");
  // Discard's port: a program that took its HTTP proxy from here would get no answer over HTTP.
  writeFileSync(folder.file(".env"), "HTTP_PROXY=http://127.0.0.1:9\nhttp_proxy=http://127.0.0.1:9\n");
  writeFileSync(folder.file("bunfig.toml"), 'preload = ["./preload.ts"]\n');
  const intruder = `require("node:fs").writeFileSync(${JSON.stringify(folder.file("ran"))}, "");\nprocess.exit(42);\n`;
  for (const name of ["preload.ts", "index.ts", "main.ts"]) writeFileSync(folder.file(name), intruder);
  writeFileSync(
    folder.file("package.json"),
    '{ "name": "etcdproxy", "main": "index.ts", "type": "commonjs" }',
  );
});
afterAll(async () => {
  folder[Symbol.dispose]();
  await cluster.dispose();
});

describe("in a folder with a hostile .env, bunfig.toml and package.json", () => {
  test("version prints what it prints elsewhere", async () => {
    const { code, stdout, stderr } = await runEtcdproxy(["version"], { cwd: folder.path });
    expect(await runEtcdproxy(["version"])).toMatchObject({ code, stdout, stderr });
    expect(existsSync(folder.file("ran"))).toBe(false);
  });

  test.each(["gateway", "grpc-proxy"])("%s serves", async (product) => {
    await using proxy = await startProxy(
      [product, "start", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints.join(",")}`],
      { cwd: folder.path },
    );
    expect(await etcdctl([proxy.address], ["put", "still", "served"])).toMatchObject({ stdout: "OK\n" });
    expect(existsSync(folder.file("ran"))).toBe(false);
  });

  test("the grpc-proxy asks members for their metrics directly, not by the proxy in .env", async () => {
    await using proxy = await startProxy(
      ["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints.join(",")}`],
      { cwd: folder.path, env: withoutHttpProxy },
    );
    const answer = await fetch(`http://${proxy.address}/metrics`, { keepalive: false });
    expect([answer.status, await answer.text()]).toEqual([
      200,
      expect.stringContaining("etcd_server_has_leader"),
    ]);
  });
});
