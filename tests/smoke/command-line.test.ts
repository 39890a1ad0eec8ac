/**
 * The compiled file as an operator's shell sees it: what it prints, where to, and with which exit status.
 * What the words of a command line mean in detail is told in tests/cli; here only that the executable does so too.
 */
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import type { CommandResult } from "../harness/child-process.ts";
import { runEtcdproxy } from "../harness/etcdproxy-process.ts";

/** What a command that succeeds prints. Fails unless that is all it prints. */
function printed({ code, stdout, stderr }: CommandResult): string {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** The one line on standard error with which a command ends that was called wrongly. */
function refusal({ code, stdout, stderr }: CommandResult): string {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^[^\n]+\n$/);
  return stderr.trimEnd();
}

describe("what is asked for goes to standard output, with exit status 0", () => {
  test("version tells the program, the commit, the runtime and the machine", async () => {
    const lines = printed(await runEtcdproxy(["version"])).split("\n");
    expect(lines[0]).toBe(`etcdproxy Version: ${packageJson.version}`);
    expect(lines[1]).toMatch(/^Git SHA: \S/);
    expect(lines[2]).toBe(`Bun Version: ${packageJson.devDependencies.bun}`);
    expect(lines[3]).toBe(`Bun OS/Arch: ${process.platform}/${process.arch}`);
  });

  test("--help lists the commands", async () => {
    const help = printed(await runEtcdproxy(["--help"]));
    expect(help).toStartWith("Usage: etcdproxy <command> [flags]\n");
    expect([...help.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => name)).toEqual([
      "gateway",
      "grpc-proxy",
      "check-config",
      "completion",
      "man",
      "version",
      "help",
    ]);
  });

  test.each([
    ["gateway", "--retry-delay <duration>"],
    ["grpc-proxy", "--advertise-client-url <url>"],
  ])("%s --help lists that product's flags", async (product, flag) => {
    const help = printed(await runEtcdproxy([product, "--help"]));
    expect(help).toStartWith(`Usage: etcdproxy ${product} [start] [flags]\n`);
    expect(help).toContain(`  ${flag}`);
    expect(help).toContain("  --listen-addr <host:port>");
  });
});

describe("a mistake ends with exit status 1 and one line on standard error that names it", () => {
  test("no command at all shows the help there", async () => {
    const { code, stdout, stderr } = await runEtcdproxy([]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith("Usage: etcdproxy <command> [flags]\n");
  });

  test("an unknown command", async () => {
    expect(refusal(await runEtcdproxy(["grpc-porxy", "start"]))).toBe(
      'etcdproxy: unknown command "grpc-porxy": did you mean grpc-proxy?',
    );
  });

  test.each(["gateway", "grpc-proxy"])("%s: an unknown flag", async (product) => {
    expect(refusal(await runEtcdproxy([product, "start", "--endpoint=127.0.0.1"]))).toBe(
      `etcdproxy: unknown flag --endpoint of "${product}": did you mean --endpoints?`,
    );
  });

  test.each([
    ["gateway", "--retry-delay=soon", '--retry-delay "soon"'],
    ["gateway", "--listen-addr=here", '--listen-addr "here"'],
    ["gateway", "--endpoints=ftp://10.0.1.10", "--endpoints"],
    ["grpc-proxy", "--max-send-bytes=lots", '--max-send-bytes "lots"'],
    ["grpc-proxy", "--listen-addr=127.0.0.1:99999", '--listen-addr "127.0.0.1:99999"'],
    ["grpc-proxy", "--endpoints=10.0.1.10:2379/health", "--endpoints"],
    ["grpc-proxy", "--metrics-addr=http://127.0.0.1/metrics", "--metrics-addr"],
    ["grpc-proxy", "--metrics-addr=http://127.0.0.1:23790", "--metrics-addr 127.0.0.1:23790 has the port of"],
  ])("%s: a bad value in %s", async (product, flag, named) => {
    expect(refusal(await runEtcdproxy([product, "start", flag]))).toStartWith(`etcdproxy: ${named}`);
  });

  test.each([
    ["grpc-proxy", "--experimental-leasing-prefix=my-prefix/"],
    ["grpc-proxy", "--experimental-serializable-ordering"],
  ])("%s: %s, which comes later, is refused and never ignored", async (product, flag) => {
    const name = flag.replace(/=.*/, "");
    expect(refusal(await runEtcdproxy([product, "start", flag]))).toBe(`not supported yet: ${name}`);
  });

  test.each(["gateway", "grpc-proxy"])("%s: a port on which another process listens", async (product) => {
    using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = `127.0.0.1:${taken.port}`;
    expect(refusal(await runEtcdproxy([product, "start", `--listen-addr=${address}`]))).toBe(
      `etcdproxy: --listen-addr ${address}: another process listens there already; stop it or choose another port`,
    );
  });

  test("a port for metrics on which another process listens", async () => {
    using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = `127.0.0.1:${taken.port}`;
    const flags = ["--listen-addr=127.0.0.1:0", `--metrics-addr=http://${address}`];
    expect(refusal(await runEtcdproxy(["grpc-proxy", "start", ...flags]))).toBe(
      `etcdproxy: --metrics-addr ${address}: another process listens there already; stop it or choose another port`,
    );
  });
});
