/** What check-config tells of values, and that it finds what the start would end with. */
import { existsSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type CheckedConfig, checkConfig } from "../../src/cli/check-config.ts";
import { parseCommandLine, type ProductInvocation } from "../../src/cli/command-line.ts";
import { PRODUCT_NAMES, productTables } from "../../src/cli/commands.ts";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { attributeOf } from "../../src/cli/flag-definition.ts";
import { settle } from "../../src/cli/settings.ts";
import { ValueOrigins } from "../../src/cli/value-origin.ts";
import type { ProductFlags } from "../../src/cli/worker-messages.ts";
import { CertificateAuthority, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { anyValue } from "./config-text.ts";
import { runToEnd } from "./program.ts";

/** Processes are started, and files written, on machines that may be busy. */
const DEADLINE_MS = 60_000;

let folder: TemporaryFolder;
let file: string;
let server: IssuedCertificate;
let client: IssuedCertificate;
beforeAll(async () => {
  folder = new TemporaryFolder("check-config");
  file = folder.file("p.yaml");
  const authority = await CertificateAuthority.create(folder, "authority");
  server = await authority.server("server");
  client = await authority.client("client");
});
afterAll(() => folder[Symbol.dispose]());

async function checked(
  words: readonly string[],
  environment: Record<string, string> = {},
): Promise<CheckedConfig> {
  return checkConfig(await settle(parseCommandLine(words) as ProductInvocation, environment));
}

/** Lines of the report that begin like this, with single blanks. */
function linesOf({ report }: CheckedConfig, start: string): string[] {
  return report
    .split("\n")
    .map((line) => line.replaceAll(/ +/g, " "))
    .filter((line) => line.startsWith(start));
}

test("each value is told with its origin, in a row", async () => {
  writeFileSync(file, "endpoints: [a, b]\nretry-delay: 90s\nworkers: 2\n");
  const result = await checked(["gateway", `--config-file=${file}`, "--workers=1"], {
    ETCDPROXY_LISTEN_ADDR: "127.0.0.1:0",
    ETCDPROXY_AUTO_TLS: "true",
  });
  expect(result.error).toBeNull();
  expect(linesOf(result, "# ")).toEqual([
    "# etcdproxy gateway would start with these values.",
    "# note: ETCDPROXY_AUTO_TLS is not used: the gateway has no such flag",
    `# config-file: ${JSON.stringify(file)} # --config-file`,
  ]);
  for (const line of [
    'listen-addr: "127.0.0.1:0" # ETCDPROXY_LISTEN_ADDR',
    `endpoints: ["a", "b"] # ${file}:1`,
    `retry-delay: 1m30s # ${file}:2`,
    "workers: 1 # --workers",
    "debug: false # default",
  ])
    expect(linesOf(result, line)).toEqual([line]);
});

test("what the start would warn of is told, also where its log would not say so", async () => {
  const calls = ["grpc-proxy", "--listen-addr=127.0.0.1:0", "--endpoints=a"];
  const moved =
    "# warning: --listen-addr is 127.0.0.1:0, but clients that ask for the members are told 127.0.0.1:23790: name the address " +
    "that they reach this proxy at with --advertise-client-url, or leave that empty to tell them etcd's own members";
  const values = await checked([...calls, "--grpc-logging-values"]);
  expect(linesOf(values, "# warning")).toEqual([
    "# warning: --grpc-logging-values is not used: calls are logged with --experimental-enable-grpc-logging",
    moved,
  ]);
  const quiet = await checked([...calls, "--log-level=error"], {
    ETCDPROXY_EXPERIMENTAL_ENABLE_GRPC_LOGGING: "true",
    ETCDPROXY_DISCOVERY_SRV: "",
  });
  expect(linesOf(quiet, "# warning")).toEqual([
    "# warning: ETCDPROXY_DISCOVERY_SRV is empty: the members are those of --endpoints",
    "# warning: ETCDPROXY_EXPERIMENTAL_ENABLE_GRPC_LOGGING is not used: its lines are of level info, below --log-level=error",
    moved,
  ]);
});

test.each(PRODUCT_NAMES)(
  "the report of %s is a file with the same values, whatever they are",
  async (product) => {
    const flags = productTables[product].filter(
      ({ since, name }) => since === "live" && name !== "config-file",
    );
    await fc.assert(
      fc.asyncProperty(fc.tuple(...flags.map((flag) => anyValue(flag))), async (values) => {
        const given = flags.map((flag, index) => [attributeOf(flag), values[index]!] as const);
        const serve = {
          product,
          flags: Object.fromEntries([...given, ["configFile", ""]]),
        } as unknown as ProductFlags;
        const { report } = await checkConfig({
          serve,
          origins: new ValueOrigins(new Map()),
          unusedVariables: [],
        });
        writeFileSync(file, report);
        const read = readConfigFile(product, file, { from: "flag" });
        flags.forEach((flag, index) => {
          // What looks like a password is not told.
          if (/[@:]/.test(String(values[index]))) return;
          expect(read.get(flag.name)!.value).toEqual(values[index]!);
        });
      }),
      { numRuns: 25 },
    );
  },
);

describe("fails as the start does", () => {
  const good = ["--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1"];

  test.each([
    ["gateway", ["--listen-addr=foo"]],
    ["gateway", ["--endpoints=ftp://a"]],
    ["gateway", ["--dns-server=localhost"]],
    ["gateway", ["--metrics-addr=https://127.0.0.1:0"]],
    ["gateway", ["--endpoint-weights=a=1"]],
    ["gateway", ["--balancer=least-latency", "--health-check-interval=0"]],
    ["gateway", ["--discovery-srv=example.test", "--trusted-ca-file=/absent"]],
    ["gateway", ["--listen-addr=127.0.0.1:2379", "--endpoints=127.0.0.1"]],
    ["gateway", ["--listen-addr=127.0.0.1:2379", "--metrics-addr=http://:2379"]],
    ["grpc-proxy", ["--listen-addr=foo"]],
    ["grpc-proxy", ["--endpoints=,"]],
    ["grpc-proxy", ["--metrics-addr=127.0.0.1:0"]],
    ["grpc-proxy", ["--metrics-addr=https://127.0.0.1:0"]],
    ["grpc-proxy", ["--cert-file=/absent", "--key-file=/absent"]],
    ["grpc-proxy", ["--cert-file=CERT", "--key-file=CLIENTKEY"]],
    ["grpc-proxy", ["--cacert=/absent"]],
    ["grpc-proxy", ["--auto-tls", "--listen-cipher-suites=TLS_FOO"]],
    ["grpc-proxy", ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"]],
    ["grpc-proxy", ["--user=root", "--password-file=/absent"]],
    ["grpc-proxy", ["--user=root:secret"]],
    ["grpc-proxy", ["--namespace-strict"]],
    ["grpc-proxy", ["--listen-addr=127.0.0.1:2379", "--endpoints=localhost"]],
    ["grpc-proxy", ["--listen-addr=127.0.0.1:2379", "--metrics-addr=http://127.0.0.1:2379"]],
  ])(
    "%s %p",
    async (product, flags) => {
      const words = [product, ...good, ...flags].map((word) =>
        word.replace("CLIENTKEY", client.keyFile).replace("CERT", server.certificateFile),
      );
      const [start, check] = await Promise.all([runToEnd(...words), runToEnd("check-config", ...words)]);
      expect(start).toMatchObject({ exitCode: 1, stdout: "" });
      expect(check).toMatchObject({ exitCode: 1, stderr: start.stderr });
      expect(
        check.stdout === "" || check.stdout.startsWith(`# etcdproxy ${product} would not start with`),
      ).toBe(true);
      expect(check.stdout + check.stderr).not.toContain("secret");
    },
    DEADLINE_MS,
  );
});

test("what the start would warn of is told, and named by its origin", async () => {
  writeFileSync(file, "discovery-srv-name: a\ninsecure-skip-tls-verify: true\n", { mode: 0o644 });
  const result = await checked(["grpc-proxy", `--config-file=${file}`, "--dial-keepalive-time=1s"]);
  expect(result.error).toBeNull();
  expect(linesOf(result, "# warning: ")).toEqual([
    `# warning: discovery-srv-name (${file}:1) is not used: without --discovery-srv members are those of --endpoints`,
    `# warning: insecure-skip-tls-verify (${file}:2): members' certificates are not checked, so anybody on the way can pass for a member`,
    "# warning: --dial-keepalive-time is raised to the least that gRPC uses (given: 1s, used: 10s)",
  ]);
});

test("a certificate of the proxy's own is not made, but told", async () => {
  const data = folder.file("data");
  const words = ["grpc-proxy", "--auto-tls", `--data-dir=${data}`, "--metrics-addr=https://127.0.0.1:0"];
  const result = await checked(words);
  expect(result.error).toBeNull();
  expect(linesOf(result, "# note: ")).toEqual([
    `# note: --auto-tls: the certificate will be made at the start (folder: ${data}/fixtures/proxy)`,
  ]);
  expect(existsSync(data)).toBe(false);
});

test("a password where none belongs is not repeated", async () => {
  for (const flag of [
    "--endpoints=a,http://root:se/cret@b",
    "--endpoints=root:secret@a",
    "--metrics-addr=http://root:secret@a:1",
    "--advertise-client-url=http://root:secret@a",
    "--listen-addr=root:secret@a:1",
    "--dns-server=root:secret@a",
    "--user=root:secret",
  ])
    expect((await checked(["grpc-proxy", flag])).report).not.toMatch(/se\/?cret/);
});
