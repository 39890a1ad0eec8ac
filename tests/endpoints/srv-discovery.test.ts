import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { CheckResult } from "../../src/endpoints/srv-check.ts";
import {
  SrvDiscovery,
  SrvDiscoveryError,
  type SrvDiscoveryOptions,
} from "../../src/endpoints/srv-discovery.ts";
import { createResolver, type DnsResolver } from "../../src/net/resolver.ts";
import { startDnsServer, type DnsServer } from "../net/dns-server.ts";

let server: DnsServer;
let resolver: DnsResolver;
beforeAll(async () => {
  server = await startDnsServer(
    "--srv-host=_etcd-client._tcp.plain.test,infra1.plain.test,2379,20,5",
    "--srv-host=_etcd-client._tcp.plain.test,infra0.plain.test,2380,10,0",
    "--srv-host=_etcd-client-blue._tcp.plain.test,blue.plain.test,2379",
    "--srv-host=_etcd-client-ssl._tcp.both.test,infra0.both.test,2379,1,7",
    "--srv-host=_etcd-client._tcp.both.test,infra0.both.test,2379",
    "--srv-host=_etcd-client._tcp.both.test,infra1.both.test,2379",
    "--srv-host=_etcd-client-ssl-blue._tcp.both.test,blue.both.test,2379",
    "--srv-host=_etcd-client-ssl._tcp.tls.test,a.tls.test,2379",
    "--srv-host=_etcd-client-ssl._tcp.tls.test,b.tls.test,2379",
    "--srv-host=_etcd-client-ssl._tcp.tls.test,c.tls.test,2379",
    "--srv-host=_etcd-client._tcp.none.test",
  );
  resolver = createResolver({ servers: [server.address] });
});
afterAll(() => server.stop());

/** What the check of each member tells, by the first letter of its name; the others are good. */
type Results = Record<string, CheckResult>;
const FAILED: CheckResult = { kind: "failed", reason: "the certificate has expired" };
const UNREACHABLE: CheckResult = { kind: "unreachable", reason: "connection refused" };

const discovery = (domain: string, results: Results = {}, options: Partial<SrvDiscoveryOptions> = {}) =>
  new SrvDiscovery({
    domain,
    check: async ({ name }) => results[name.charAt(0)] ?? { kind: "passed" },
    withPlain: false,
    resolver,
    random: () => 0,
    ...options,
  });

const UNCHECKED: Partial<SrvDiscoveryOptions> = { check: null, withPlain: true };

const discover = (domain: string, results: Results = {}, options: Partial<SrvDiscoveryOptions> = {}) =>
  discovery(domain, results, options).discover();

const names = async (from: Promise<{ endpoints: readonly { scheme: string; name: string }[] }>) =>
  (await from).endpoints.map(({ scheme, name }) => `${scheme}://${name}`).toSorted();

describe("discovery", () => {
  test("takes records without TLS, by priority, with a warning that they promise none", async () => {
    expect(await discover("plain.test")).toEqual({
      endpoints: [
        {
          scheme: "http",
          hostname: "infra0.plain.test",
          port: 2380,
          name: "infra0.plain.test:2380",
          priority: 10,
          weight: 0,
        },
        {
          scheme: "http",
          hostname: "infra1.plain.test",
          port: 2379,
          name: "infra1.plain.test:2379",
          priority: 20,
          weight: 5,
        },
      ],
      warnings: [
        "_etcd-client-ssl._tcp.plain.test has no records; " +
          "those of _etcd-client._tcp.plain.test are used, which promise no TLS",
      ],
      incomplete: false,
    });
  });

  test("tolerates a domain that ends in a dot, and one in capitals", async () => {
    expect(await names(discover("plain.test."))).toHaveLength(2);
    expect(await names(discover("PLAIN.test"))).toHaveLength(2);
  });

  test("looks services with --discovery-srv-name's suffix up", async () => {
    expect(await names(discover("plain.test", {}, { serviceSuffix: "blue" }))).toEqual([
      "http://blue.plain.test:2379",
    ]);
    expect(await names(discover("both.test", {}, { serviceSuffix: "blue" }))).toEqual([
      "https://blue.both.test:2379",
    ]);
  });

  test("leaves records without TLS beside those with TLS out, and says so", async () => {
    const { endpoints, warnings } = await discover("both.test");
    expect(endpoints).toMatchObject([
      { scheme: "https", name: "infra0.both.test:2379", priority: 1, weight: 7, serverName: "both.test" },
    ]);
    expect(warnings).toEqual([
      "the records of _etcd-client._tcp.both.test are left out, since _etcd-client-ssl._tcp.both.test has some: " +
        "--insecure-discovery takes both",
    ]);
  });

  test("with --insecure-discovery takes both unchecked, those with TLS before all others, each address once", async () => {
    const { endpoints, warnings } = await discover("both.test", {}, UNCHECKED);
    expect(endpoints).toMatchObject([
      { scheme: "https", name: "infra0.both.test:2379", priority: 1 },
      { scheme: "http", name: "infra1.both.test:2379", priority: 65_536 },
    ]);
    expect(endpoints[0]?.serverName).toBeUndefined();
    expect(warnings).toEqual([]);
  });
});

describe("records that promise TLS", () => {
  const ALL = ["https://a.tls.test:2379", "https://b.tls.test:2379", "https://c.tls.test:2379"];
  const NOT_A = ALL.slice(1);

  test("are used when their member passes for the domain, and dialled with the same demand", async () => {
    const asked: string[] = [];
    const { endpoints, warnings, incomplete } = await discover(
      "tls.test",
      {},
      {
        async check({ name }, domain) {
          asked.push(`${name} ${domain}`);
          return { kind: "passed" };
        },
      },
    );
    expect(asked.toSorted()).toEqual(["a", "b", "c"].map((letter) => `${letter}.tls.test:2379 tls.test`));
    expect(endpoints.map(({ serverName }) => serverName)).toEqual(["tls.test", "tls.test", "tls.test"]);
    expect({ warnings, incomplete }).toEqual({ warnings: [], incomplete: false });
  });

  test("are left out when it fails, with a warning that says why", async () => {
    const { endpoints, warnings, incomplete } = await discover("tls.test", { a: FAILED });
    expect(endpoints.map(({ name }) => name).toSorted()).toEqual(["b.tls.test:2379", "c.tls.test:2379"]);
    expect(warnings).toEqual([
      "a.tls.test:2379 is left out: it does not pass for tls.test: the certificate has expired",
    ]);
    expect(incomplete).toBe(false);
  });

  test("are left out while it cannot be reached, and are looked at again", async () => {
    const results: Results = { a: UNREACHABLE };
    const found = discovery("tls.test", results);
    const { endpoints, warnings, incomplete } = await found.discover();
    expect(endpoints).toHaveLength(2);
    expect(warnings).toEqual(["a.tls.test:2379 cannot be checked, left out for now: connection refused"]);
    expect(incomplete).toBe(true);
    results["a"] = { kind: "passed" };
    expect(await names(found.discover())).toEqual(ALL);
  });

  test("of a member that cannot be reached are used where every dial checks", async () => {
    const { endpoints, warnings } = await discover(
      "tls.test",
      { a: UNREACHABLE, b: FAILED },
      { checkedAtDial: true },
    );
    expect(endpoints.map(({ name, serverName }) => `${name} as ${serverName}`).toSorted()).toEqual([
      "a.tls.test:2379 as tls.test",
      "c.tls.test:2379 as tls.test",
    ]);
    expect(warnings.toSorted()).toEqual([
      "a.tls.test:2379 cannot be checked, it is checked when it is dialled: connection refused",
      "b.tls.test:2379 is left out: it does not pass for tls.test: the certificate has expired",
    ]);
  });

  test("stay while a member that has passed is away, and go when it fails", async () => {
    const results: Results = {};
    const found = discovery("tls.test", results);
    await found.discover();
    results["a"] = UNREACHABLE;
    for (let round = 0; round < 3; round++) {
      const { warnings, incomplete } = await found.discover();
      expect({ warnings, incomplete }).toEqual({ warnings: [], incomplete: false });
    }
    expect(await names(found.discover())).toEqual(ALL);
    results["a"] = FAILED;
    expect(await names(found.discover())).toEqual(NOT_A);
    // What has failed is no longer known for good.
    results["a"] = UNREACHABLE;
    expect(await names(found.discover())).toEqual(NOT_A);
  });
});

describe("discovery fails with one line that says what to do:", () => {
  const failureOf = async (
    domain: string,
    results: Results = {},
    options: Partial<SrvDiscoveryOptions> = {},
  ): Promise<string> => {
    const error = await (async () => discover(domain, results, options))().catch((thrown: unknown) => thrown);
    if (!(error instanceof SrvDiscoveryError)) return expect.unreachable();
    expect(error.message).not.toContain("\n");
    return `${error.reason}: ${error.message}`;
  };

  test("no member passes: none without TLS takes its place", async () => {
    expect(await failureOf("both.test", { i: FAILED })).toBe(
      "none: --discovery-srv both.test: no member that _etcd-client-ssl._tcp.both.test names may be used " +
        "(infra0.both.test:2379 is left out: it does not pass for both.test: the certificate has expired; " +
        "the records of _etcd-client._tcp.both.test are left out, since _etcd-client-ssl._tcp.both.test has some: " +
        "--insecure-discovery takes both): check the CA that is trusted here and the names in the members' " +
        "certificates; --insecure-discovery takes them unchecked",
    );
  });

  test("no member can be reached", async () => {
    expect(await failureOf("tls.test", { a: FAILED, b: UNREACHABLE, c: UNREACHABLE })).toStartWith(
      "unreachable: --discovery-srv tls.test: no member can be reached to check it: ",
    );
  });

  test("no records: both services are named, and no default address is taken", async () => {
    expect(await failureOf("empty.test")).toBe(
      "none: --discovery-srv empty.test: neither _etcd-client-ssl._tcp.empty.test nor " +
        "_etcd-client._tcp.empty.test has a usable SRV record: check the domain, --discovery-srv-name and the DNS " +
        "zone, or name the members with --endpoints",
    );
  });

  test("records that say the service is not offered", async () => {
    expect(await failureOf("none.test")).toContain("has a usable SRV record");
  });

  test("an empty domain", async () => {
    expect(await failureOf(" ")).toContain("--discovery-srv is empty");
  });

  test("a name server that refuses", async () => {
    const failure = await failureOf("elsewhere.example");
    expect(failure).toStartWith("no-answer: ");
    expect(failure).toContain(
      "_tcp.elsewhere.example failed (EREFUSED): that name server does not serve this domain to us",
    );
  });

  test("a failed lookup of the records with TLS: those without do not take their place", async () => {
    const broken: DnsResolver = {
      ...resolver,
      srv: (name) =>
        name.includes("-ssl") ? Promise.reject(new Error("server failed")) : resolver.srv(name),
    };
    expect(await failureOf("plain.test", {}, { resolver: broken })).toContain(
      "server failed: check that the name server",
    );
  });
});
