import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createResolver, DnsError, type DnsResolver } from "../../src/net/resolver.ts";
import { silentNameServer, startDnsServer, type DnsServer } from "./dns-server.ts";

describe("a resolver with a name server of its own", () => {
  let server: DnsServer;
  let resolver: DnsResolver;
  beforeAll(async () => {
    server = await startDnsServer(
      "--srv-host=_etcd-client._tcp.cluster.test,infra0.cluster.test,2379,10,20",
      "--srv-host=_etcd-client._tcp.cluster.test,infra1.cluster.test,2380,0,5",
      "--host-record=infra0.cluster.test,10.0.1.10,fd00::10",
      "--host-record=infra1.cluster.test,10.0.1.11",
      "--host-record=infra6.cluster.test,fd00::6",
    );
    resolver = createResolver({ servers: [server.address] });
  });
  afterAll(() => server.stop());

  test("finds the SRV records of a service", async () => {
    const records = await resolver.srv("_etcd-client._tcp.cluster.test");
    expect(records.toSorted((a, b) => a.priority - b.priority)).toEqual([
      { priority: 0, weight: 5, port: 2380, hostname: "infra1.cluster.test" },
      { priority: 10, weight: 20, port: 2379, hostname: "infra0.cluster.test" },
    ]);
  });

  test("answers nothing for a service without records", async () => {
    expect(await resolver.srv("_etcd-client-ssl._tcp.cluster.test")).toEqual([]);
  });

  test("finds a host's addresses, IPv4 before IPv6", async () => {
    expect(await resolver.addresses("infra0.cluster.test")).toEqual(["10.0.1.10", "fd00::10"]);
    expect(await resolver.addresses("infra1.cluster.test")).toEqual(["10.0.1.11"]);
    expect(await resolver.addresses("infra6.cluster.test")).toEqual(["fd00::6"]);
  });

  test("answers nothing for a host that does not exist", async () => {
    expect(await resolver.addresses("infra9.cluster.test")).toEqual([]);
  });

  test("fails with the name and the code when the server refuses", async () => {
    const error = await resolver
      .srv("_etcd-client._tcp.elsewhere.example")
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DnsError);
    expect(String(error)).toContain("_etcd-client._tcp.elsewhere.example failed (EREFUSED)");
  });
});

test("a name server that does not answer fails the lookup, which is not the same as no records", async () => {
  const silent = createSocket("udp4");
  await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
  const resolver = createResolver({
    servers: [`127.0.0.1:${silent.address().port}`],
    timeoutMs: 50,
    tries: 1,
  });
  const codeOf = (lookup: Promise<unknown>) => lookup.catch((error: DnsError) => error.code);
  const codes = await Promise.all([
    codeOf(resolver.srv("_etcd-client._tcp.cluster.test")),
    codeOf(resolver.addresses("infra0.cluster.test")),
  ]);
  expect(codes).toEqual(["ETIMEOUT", "ETIMEOUT"]);
  silent.close();
});

test("a name server that nobody listens for fails the lookup at once, and costs no processor time", async () => {
  const resolver = createResolver({ servers: [silentNameServer()], timeoutMs: 20_000 });
  const before = process.cpuUsage();
  const error = await resolver.srv("_etcd-client._tcp.cluster.test").catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: "DnsError", code: "ECONNREFUSED" });
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(2000);
});

test("no name server is asked for localhost", async () => {
  const resolver = createResolver({ servers: [silentNameServer()] });
  expect(await resolver.addresses("localhost")).toEqual(["127.0.0.1", "::1"]);
});

test("the system's resolver knows the hosts file", async () => {
  expect(await createResolver().addresses("localhost")).toContain("127.0.0.1");
});
