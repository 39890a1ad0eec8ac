import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import {
  discoverEndpoints,
  SrvDiscoveryError,
  type SrvDiscoveryOptions,
} from "../../src/endpoints/srv-discovery.ts";
import { createResolver, type DnsResolver } from "../../src/net/resolver.ts";
import { startDnsServer, type DnsServer } from "../net/dns-server.ts";

let server: DnsServer;
let resolver: DnsResolver;
beforeAll(async () => {
  server = await startDnsServer(
    "--srv-host=_etcd-client._tcp.plain.test,infra1.plain.test,2379,20,0",
    "--srv-host=_etcd-client._tcp.plain.test,infra0.plain.test,2380,10,0",
    "--srv-host=_etcd-client-blue._tcp.plain.test,blue.plain.test,2379",
    "--srv-host=_etcd-client-ssl._tcp.both.test,infra0.both.test,2379",
    "--srv-host=_etcd-client._tcp.both.test,infra0.both.test,2379",
    "--srv-host=_etcd-client._tcp.both.test,infra1.both.test,2379",
    "--srv-host=_etcd-client-ssl-blue._tcp.both.test,blue.both.test,2379",
    "--srv-host=_etcd-client._tcp.none.test",
  );
  resolver = createResolver({ servers: [server.address] });
});
afterAll(() => server.stop());

const discover = (domain: string, options: Partial<SrvDiscoveryOptions> = {}) =>
  discoverEndpoints({ domain, insecure: false, resolver, random: () => 0, ...options });

const names = async (domain: string, options: Partial<SrvDiscoveryOptions> = {}): Promise<string[]> =>
  (await discover(domain, options)).endpoints.map(({ scheme, name }) => `${scheme}://${name}`);

describe("discovery", () => {
  test("takes records without TLS, by priority, with a warning that they promise none", async () => {
    expect(await discover("plain.test")).toEqual({
      endpoints: [
        createEndpoint("http", "infra0.plain.test", 2380, { priority: 10, weight: 0 }),
        createEndpoint("http", "infra1.plain.test", 2379, { priority: 20, weight: 0 }),
      ],
      warnings: [
        "_etcd-client-ssl._tcp.plain.test has no records; " +
          "those of _etcd-client._tcp.plain.test are used, which promise no TLS",
      ],
    });
  });

  test("tolerates a domain that ends in a dot", async () => {
    expect(await names("plain.test.")).toHaveLength(2);
  });

  test("looks services with --discovery-srv-name's suffix up", async () => {
    expect(await names("plain.test", { serviceSuffix: "blue" })).toEqual(["http://blue.plain.test:2379"]);
    expect(await names("both.test", { serviceSuffix: "blue", insecure: true })).toEqual([
      "https://blue.both.test:2379",
    ]);
  });

  test("with --insecure-discovery takes both kinds unchecked, those with TLS first, each address once", async () => {
    expect(await names("both.test", { insecure: true })).toEqual([
      "https://infra0.both.test:2379",
      "http://infra1.both.test:2379",
    ]);
  });
});

describe("discovery fails with one line that says what to do:", () => {
  const failureOf = async (domain: string, options: Partial<SrvDiscoveryOptions> = {}): Promise<string> => {
    const error = await discover(domain, options).catch((thrown: unknown) => thrown);
    if (!(error instanceof SrvDiscoveryError)) return expect.unreachable();
    expect(error.message).not.toContain("\n");
    return error.message;
  };

  test("records with TLS, which it cannot check yet", async () => {
    expect(await failureOf("both.test")).toBe(
      "--discovery-srv both.test: _etcd-client-ssl._tcp.both.test has records, and checking them over TLS is " +
        "not supported yet: --insecure-discovery takes them unchecked",
    );
  });

  test("no records: both services are named, and no default address is taken", async () => {
    expect(await failureOf("empty.test")).toBe(
      "--discovery-srv empty.test: neither _etcd-client-ssl._tcp.empty.test nor _etcd-client._tcp.empty.test has a " +
        "usable SRV record: check the domain, --discovery-srv-name and the DNS zone, " +
        "or name the members with --endpoints",
    );
  });

  test("records that say the service is not offered", async () => {
    expect(await failureOf("none.test")).toContain("has a usable SRV record");
  });

  test("an empty domain", async () => {
    expect(await failureOf(" ")).toContain("--discovery-srv is empty");
  });

  test("a name server that refuses", async () => {
    expect(await failureOf("elsewhere.example")).toContain("_tcp.elsewhere.example failed (EREFUSED)");
  });

  test("a failed lookup of the records with TLS: those without do not take their place", async () => {
    const broken: DnsResolver = {
      ...resolver,
      srv: (name) =>
        name.includes("-ssl") ? Promise.reject(new Error("server failed")) : resolver.srv(name),
    };
    expect(await failureOf("plain.test", { resolver: broken })).toContain(
      "server failed: check that the name server",
    );
  });
});
