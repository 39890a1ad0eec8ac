import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseCommandLine, type ProductInvocation } from "../../src/cli/command-line.ts";
import { emptyDomainRemarks } from "../../src/cli/discovery.ts";
import { settle } from "../../src/cli/settings.ts";
import { type DnsServer, startDnsServer } from "../net/dns-server.ts";
import { freePorts } from "../harness/free-ports.ts";
import { runToEnd, startEtcdproxy } from "./program.ts";

let dns: DnsServer;

beforeAll(async () => {
  dns = await startDnsServer(
    "--srv-host=_etcd-client._tcp.plain.test,infra0.test,2379,0,0",
    "--srv-host=_etcd-client._tcp.plain.test,infra1.test,2380,1,0",
    "--srv-host=_etcd-client-staging._tcp.plain.test,infra2.test,2379,0,0",
    "--srv-host=_etcd-client-ssl._tcp.secure.test,infra3.test,2379,0,0",
  );
});

afterAll(async () => {
  await dns.stop();
});

async function discovered(...flags: string[]): Promise<unknown> {
  const program = startEtcdproxy(
    "gateway",
    `--dns-server=${dns.address}`,
    "--listen-addr=127.0.0.1:0",
    ...flags,
  );
  const { endpoints } = await program.logged("ready to proxy client requests");
  program.kill("SIGTERM");
  expect((await program.ended()).exitCode).toBe(0);
  return endpoints;
}

describe("grpc-proxy start --discovery-srv", () => {
  test("starts with the members that DNS names, though none of them can be reached", async () => {
    for (const domain of ["plain.test", "secure.test"]) {
      const program = startEtcdproxy(
        "grpc-proxy",
        "start",
        `--dns-server=${dns.address}`,
        `--discovery-srv=${domain}`,
        "--listen-addr=127.0.0.1:0",
      );
      await program.logged("discovered the cluster from SRV records");
      await program.logged("started gRPC proxy");
      program.kill("SIGTERM");
      expect((await program.ended()).exitCode).toBe(0);
    }
  });

  test("ends with one line that names the flag when DNS knows no members", async () => {
    const { exitCode, stdout, stderr } = await runToEnd(
      "grpc-proxy",
      "start",
      `--dns-server=${dns.address}`,
      "--discovery-srv=nothing.test",
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^etcdproxy: --discovery-srv nothing\.test: [^\n]+\n$/);
  });

  test("refuses an endpoint that is the proxy itself, named by the flag that found it", async () => {
    const [port] = freePorts(1);
    const own = await startDnsServer(
      `--srv-host=_etcd-client._tcp.own.test,me.own.test,${port}`,
      "--host-record=me.own.test,127.0.0.1",
    );
    const { exitCode, stderr } = await runToEnd(
      "grpc-proxy",
      "start",
      `--dns-server=${own.address}`,
      "--discovery-srv=own.test",
      `--listen-addr=127.0.0.1:${port}`,
    );
    await own.stop();
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`--discovery-srv: me.own.test:${port} should not resolve to the proxy's own`);
  });
});

describe("gateway --discovery-srv", () => {
  test("starts without the word start, with the members that DNS names, in their order", async () => {
    expect(await discovered("--discovery-srv=plain.test")).toEqual(["infra0.test:2379", "infra1.test:2380"]);
  });

  test("goes before --endpoints, and warns of it", async () => {
    const program = startEtcdproxy(
      "gateway",
      `--dns-server=${dns.address}`,
      "--discovery-srv=plain.test",
      "--endpoints=10.0.0.1",
      "--listen-addr=127.0.0.1:0",
    );
    expect(await program.logged("ready to proxy client requests")).toMatchObject({
      endpoints: ["infra0.test:2379", "infra1.test:2380"],
    });
    await program.logged("--endpoints is not used: --discovery-srv names the members");
    program.kill("SIGTERM");
    expect((await program.ended()).exitCode).toBe(0);
  });

  test("looks for the service of --discovery-srv-name", async () => {
    expect(await discovered("--discovery-srv=plain.test", "--discovery-srv-name=staging")).toEqual([
      "infra2.test:2379",
    ]);
  });

  test("takes records that promise TLS unchecked only with --insecure-discovery", async () => {
    expect(await discovered("--discovery-srv=secure.test", "--insecure-discovery")).toEqual([
      "infra3.test:2379",
    ]);
    const program = startEtcdproxy(
      "gateway",
      `--dns-server=${dns.address}`,
      "--discovery-srv=secure.test",
      "--listen-addr=127.0.0.1:0",
    );
    const { msg } = await program.loggedWith("not ready yet");
    expect(msg).toBe(
      "not ready yet: --discovery-srv secure.test: no member can be reached to check it: " +
        "infra3.test:2379 cannot be checked, left out for now: infra3.test has no address in DNS",
    );
    program.kill("SIGTERM");
    expect((await program.ended()).exitCode).toBe(0);
  });

  test("ends with one line that names the flag when DNS knows no members", async () => {
    const { exitCode, stdout, stderr } = await runToEnd(
      "gateway",
      `--dns-server=${dns.address}`,
      "--discovery-srv=nothing.test",
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^etcdproxy: --discovery-srv nothing\.test: [^\n]+\n$/);
  });
});

describe.each([
  ["gateway", "ready to proxy client requests"],
  ["grpc-proxy", "started gRPC proxy"],
])("%s without --discovery-srv", (product, ready) => {
  const lineOf = (flag: string) =>
    `${flag} is not used: without --discovery-srv members are those of --endpoints`;
  const given = ["--discovery-srv-name=staging", "--insecure-discovery", "--discovery-refresh=5s"];

  test("warns of flags that are about it, and of no other", async () => {
    for (const flags of [given, []]) {
      const program = startEtcdproxy(product, "--listen-addr=127.0.0.1:0", ...flags);
      await program.logged(ready);
      program.kill("SIGTERM");
      const { exitCode, stderr } = await program.ended();
      expect(exitCode).toBe(0);
      const warned = stderr.split("\n").filter((line) => line.includes("is not used"));
      expect(warned.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(
        flags.map((flag) => lineOf(flag.split("=", 1)[0]!)),
      );
    }
  });
});

describe("an empty --discovery-srv", () => {
  const remarksOn = async (words: readonly string[], environment = {}): Promise<string[]> => {
    const { serve, origins } = await settle(parseCommandLine(words) as ProductInvocation, environment);
    return emptyDomainRemarks(serve.flags, origins);
  };

  test.each(["gateway", "grpc-proxy"])("of %s is remarked on: what is in its place", async (command) => {
    expect(await remarksOn([command, "--discovery-srv="])).toEqual([
      "--discovery-srv is empty: the members are those of --endpoints, by default 127.0.0.1:2379",
    ]);
    expect(await remarksOn([command, "--endpoints=a:1"], { ETCDPROXY_DISCOVERY_SRV: "" })).toEqual([
      "ETCDPROXY_DISCOVERY_SRV is empty: the members are those of --endpoints",
    ]);
  });

  test("is not remarked on where nobody wrote it, or where the last one is not empty", async () => {
    expect(await remarksOn(["gateway"])).toEqual([]);
    expect(await remarksOn(["gateway", "--discovery-srv=", "--discovery-srv=example.com"])).toEqual([]);
  });
});
