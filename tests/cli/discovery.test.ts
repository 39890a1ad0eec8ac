import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DnsServer, startDnsServer } from "../net/dns-server.ts";
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

describe("gateway --discovery-srv", () => {
  test("starts without the word start, with the members that DNS names, in their order", async () => {
    expect(await discovered("--discovery-srv=plain.test")).toEqual(["infra0.test:2379", "infra1.test:2380"]);
  });

  test("goes before --endpoints", async () => {
    const endpoints = await discovered("--discovery-srv=plain.test", "--endpoints=10.0.0.1");
    expect(endpoints).toEqual(["infra0.test:2379", "infra1.test:2380"]);
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
    const refused = await runToEnd("gateway", `--dns-server=${dns.address}`, "--discovery-srv=secure.test");
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toMatch(
      /^etcdproxy: --discovery-srv secure\.test: [^\n]*--insecure-discovery[^\n]*\n$/,
    );
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
