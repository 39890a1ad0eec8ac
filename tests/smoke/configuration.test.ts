/**
 * The executable configured as operators do it: by a file, by variables that a service manager reads out of another file, and
 * by flags; before a real etcd, with one thread and with several.
 */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import {
  type EtcdproxyProcess,
  ensureBuilt,
  executable,
  runEtcdproxy,
  startProxy,
} from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

const PRODUCTS = ["gateway", "grpc-proxy"] as const;

let folder: TemporaryFolder;
let cluster: EtcdCluster;
let file: string;
let member: string;
beforeAll(async () => {
  folder = new TemporaryFolder("configuration");
  file = folder.file("proxy.yaml");
  cluster = await startEtcdCluster({ members: 1 });
  member = cluster.endpoints[0]!;
});
afterAll(async () => {
  await cluster.dispose();
  folder[Symbol.dispose]();
});

/** Puts and gets through the proxy, and stops it. */
async function serves(proxy: EtcdproxyProcess): Promise<void> {
  expect(await etcdctl([proxy.address], ["put", "colour", "green"])).toMatchObject({ code: 0 });
  expect((await etcdctl([proxy.address], ["get", "colour"])).stdout).toBe("colour\ngreen\n");
  expect(await proxy.stop()).toBe(0);
}

describe.each(PRODUCTS)("%s", (product) => {
  test("is started from a file, a variable goes before that, and a flag before both", async () => {
    const [inFile, inVariable, onLine] = freePorts(3).map((port) => `127.0.0.1:${port}`) as [
      string,
      string,
      string,
    ];
    writeFileSync(file, `listen-addr: ${inFile}\nendpoints:\n  - ${member}\n`);
    const environment = { ETCDPROXY_CONFIG_FILE: file };

    await using fromFile = await startProxy([product, "start"], { env: environment });
    expect(fromFile.address).toBe(inFile);
    await serves(fromFile);

    const both = { ...environment, ETCDPROXY_LISTEN_ADDR: inVariable };
    await using fromVariable = await startProxy([product], { env: both });
    expect(fromVariable.address).toBe(inVariable);
    await serves(fromVariable);

    await using fromLine = await startProxy([product, `--listen-addr=${onLine}`], { env: both });
    expect(fromLine.address).toBe(onLine);
    await serves(fromLine);
  });

  test("takes its section of a file for both, and hands it to several workers", async () => {
    writeFileSync(
      file,
      [
        `endpoints: [${member}]`,
        "workers: 2",
        "gateway:",
        "  listen-addr: 127.0.0.1:0",
        "  idle-timeout: 1h",
        "grpc-proxy:",
        "  listen-addr: 127.0.0.1:0",
        "  cache: false",
      ].join("\n"),
    );
    await using proxy = await startProxy([product, `--config-file=${file}`]);
    expect(proxy.log.find(({ address }) => address === proxy.address)).toMatchObject({ workers: 2 });
    await serves(proxy);
  });

  test("is started by a shell that has sourced an environment file, as a service manager reads one", async () => {
    await ensureBuilt();
    const environmentFile = folder.file("etcdproxy.env");
    writeFileSync(
      environmentFile,
      `# For ${product}\nETCDPROXY_LISTEN_ADDR=127.0.0.1:0\nETCDPROXY_ENDPOINTS="${member}"\nETCDPROXY_DRAIN_TIMEOUT=1s\n`,
    );
    const { code, stdout } = await runCommand([
      "sh",
      "-c",
      'set -a; . "$0"; exec "$@"',
      environmentFile,
      executable,
      "check-config",
      product,
    ]);
    expect(code).toBe(0);
    expect(stdout.replaceAll(/ +/g, " ")).toContain("\ndrain-timeout: 1s # ETCDPROXY_DRAIN_TIMEOUT\n");
    const env = Object.fromEntries(
      [...(await Bun.file(environmentFile).text()).matchAll(/^(\w+)="?(.*?)"?$/gm)].map(([, name, value]) => [
        name!,
        value!,
      ]),
    );
    await using proxy = await startProxy([product, "start"], { env });
    await serves(proxy);
  });

  test("is started in a pod beside a Service of its own name", async () => {
    await using proxy = await startProxy([product, "--listen-addr=127.0.0.1:0", `--endpoints=${member}`], {
      env: {
        ETCDPROXY_SERVICE_HOST: "10.96.0.7",
        ETCDPROXY_SERVICE_PORT: "23790",
        ETCDPROXY_PORT: "tcp://10.96.0.7:23790",
        ETCDPROXY_PORT_23790_TCP: "tcp://10.96.0.7:23790",
        ETCDPROXY_PORT_23790_TCP_ADDR: "10.96.0.7",
      },
    });
    await serves(proxy);
  });

  test("does not read the file again at SIGHUP", async () => {
    writeFileSync(file, `listen-addr: 127.0.0.1:0\nendpoints: [${member}]\n`);
    await using proxy = await startProxy([product, `--config-file=${file}`]);
    writeFileSync(file, "this: is wrong\n");
    proxy.kill("SIGHUP");
    await serves(proxy);
  });

  describe("tells in one line, with exit status 1, and without a listener", () => {
    test.each([
      [
        "of a key that nobody knows",
        "listen-adr: :1",
        {},
        [],
        "FILE:1:1: unknown key listen-adr: did you mean listen-addr?",
      ],
      [
        "of a key twice",
        "debug: true\ndebug: true",
        {},
        [],
        "FILE:2:1: debug stands on line 1 already: write it once",
      ],
      [
        "of a bad value in the file",
        "\nworkers: 0",
        {},
        [],
        'FILE:2: workers "0": out of range: use 1 to 64',
      ],
      [
        "of a bad address in the file",
        "listen-addr: foo",
        {},
        [],
        'FILE:1: listen-addr "foo" has no port: write host:port, such as 127.0.0.1:23790',
      ],
      [
        "of a bad address in the file of several workers",
        "listen-addr: 127.0.0.1:0\nworkers: 2\nendpoints: ['ftp://a']",
        {},
        [],
        'FILE:3: endpoints: "ftp://a" has the scheme ftp: write http://, https:// or only host:port',
      ],
      [
        "of a variable that nobody knows",
        "",
        { ETCDPROXY_LISTEN_ADR: ":1" },
        [],
        "unknown environment variable ETCDPROXY_LISTEN_ADR: did you mean ETCDPROXY_LISTEN_ADDR?",
      ],
      [
        "of a bad variable",
        "",
        { ETCDPROXY_DIAL_TIMEOUT: "0" },
        [],
        'ETCDPROXY_DIAL_TIMEOUT "0": out of range: use 1ms to 596h31m23s647ms',
      ],
      [
        "of a bad address in a variable",
        "listen-addr: ':1'",
        { ETCDPROXY_METRICS_ADDR: "a:1" },
        [],
        'ETCDPROXY_METRICS_ADDR "a:1" has no scheme: write a URL, such as http://127.0.0.1:2381',
      ],
      [
        "of a bad flag",
        "listen-addr: ':1'",
        { ETCDPROXY_LISTEN_ADDR: ":2" },
        ["--listen-addr=foo"],
        '--listen-addr "foo" has no port: write host:port, such as 127.0.0.1:23790',
      ],
    ] as const)("%s", async (_, text, env, flags, line) => {
      writeFileSync(file, text);
      const words = [product, `--config-file=${file}`, ...flags];
      const { code, stdout, stderr } = await runEtcdproxy(words, { env });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toBe(`etcdproxy: ${line.replace("FILE", file)}\n`);
      const check = await runEtcdproxy(["check-config", ...words], { env });
      expect(check).toMatchObject({ code: 1, stderr });
    });

    test("of a file that is not there", async () => {
      const absent = folder.file("absent.yaml");
      const byFlag = await runEtcdproxy([product, `--config-file=${absent}`]);
      expect(byFlag).toMatchObject({
        code: 1,
        stdout: "",
        stderr: `etcdproxy: --config-file "${absent}": there is no such file\n`,
      });
      const byVariable = await runEtcdproxy([product], { env: { ETCDPROXY_CONFIG_FILE: absent } });
      expect(byVariable.stderr).toBe(`etcdproxy: ETCDPROXY_CONFIG_FILE "${absent}": there is no such file\n`);
    });
  });
});

test("completions and the man page are printed by the executable, too", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await runEtcdproxy(["completion", shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`for ${shell}.\n`);
  }
  const { code, stdout } = await runEtcdproxy(["man"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^\.TH ETCDPROXY 1 \d{4}-\d\d-\d\d "etcdproxy \d+\.\d+\.\d+"/);
});
