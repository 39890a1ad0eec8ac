/**
 * Discovery by SRV records of the compiled file, both products, before real members that speak TLS or not: who is used, who
 * is left out, and what is said of it.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CertificateAuthority, type IssuedCertificate } from "../../harness/certificates.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl, etcdctlTls } from "../../harness/etcdctl.ts";
import { ensureBuilt, EtcdproxyProcess, runEtcdproxy, startProxy } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import { TcpRelay } from "../../harness/tcp-relay.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { type DnsServer, startDnsServer } from "../../net/dns-server.ts";
import { member, portOf } from "./dns-records.ts";

const DOMAIN = "cluster.test";
const PRODUCTS = ["gateway", "grpc-proxy"] as const;
type Product = (typeof PRODUCTS)[number];

setDefaultTimeout(60_000);

const folder = new TemporaryFolder("discovery");
let authority: CertificateAuthority;
let stranger: CertificateAuthority;
let dns: DnsServer;
/** A member whose certificate is for the domain, one with its own name only, one of another authority, one without TLS. */
let good: EtcdCluster;
let misnamed: EtcdCluster;
let foreign: EtcdCluster;
let plain: EtcdCluster;

async function secureMember(server: IssuedCertificate): Promise<EtcdCluster> {
  return startEtcdCluster({ members: 1, tls: { server } });
}

beforeAll(async () => {
  await ensureBuilt();
  authority = await CertificateAuthority.create(folder, "ours");
  stranger = await CertificateAuthority.create(folder, "theirs");
  const names = [DOMAIN, `good.${DOMAIN}`];
  [good, misnamed, foreign, plain] = await Promise.all([
    // As etcd wants it for discovery: the domain, and the member's name; loopback is for etcdctl.
    secureMember(await authority.server("good", { names: [...names, "127.0.0.1"] })),
    secureMember(await authority.server("misnamed", { names: [`misnamed.${DOMAIN}`, "127.0.0.1"] })),
    secureMember(await stranger.server("foreign", { names: [DOMAIN, `foreign.${DOMAIN}`, "127.0.0.1"] })),
    startEtcdCluster({ members: 1 }),
  ]);
  dns = await startDnsServer();
}, 120_000);

afterAll(async () => {
  await Promise.all(
    [dns, good, misnamed, foreign].map((part) => ("stop" in part ? part.stop() : part.dispose())),
  );
  await plain.dispose();
  folder[Symbol.dispose]();
});

const tlsRecord = (host: string, cluster: EtcdCluster): string[] =>
  member("etcd-client-ssl", DOMAIN, host, cluster.member(0).endpoint);
const plainRecord = (host: string, cluster: EtcdCluster): string[] =>
  member("etcd-client", DOMAIN, host, cluster.member(0).endpoint);
const nameOf = (host: string, cluster: EtcdCluster): string =>
  `${host}.${DOMAIN}:${portOf(cluster.member(0).endpoint)}`;

function commandLine(product: Product, flags: readonly string[]): string[] {
  return [
    ...(product === "gateway" ? ["gateway"] : ["grpc-proxy", "start"]),
    `--discovery-srv=${DOMAIN}`,
    `--dns-server=${dns.address}`,
    "--listen-addr=127.0.0.1:0",
    ...flags,
  ];
}

/** The CA that discovered members are checked with. */
function trusting(product: Product, { file }: CertificateAuthority): string {
  return product === "gateway" ? `--trusted-ca-file=${file}` : `--cacert=${file}`;
}

const start = (product: Product, ...flags: string[]): Promise<EtcdproxyProcess> =>
  startProxy(commandLine(product, flags));

async function discovered(proxy: EtcdproxyProcess): Promise<unknown> {
  return (await proxy.logged("discovered the cluster from SRV records"))["endpoints"];
}

function warnings(proxy: EtcdproxyProcess): string[] {
  return proxy.log
    .filter(({ level, caller }) => level === "warn" && caller === "discovery")
    .map(({ msg }) => msg);
}

const saying = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

/** Writes through the product; through the gateway over the TLS of the member itself. */
async function works(product: Product, proxy: EtcdproxyProcess, overTls: boolean): Promise<void> {
  const [scheme, flags] =
    product === "gateway" && overTls ? ["https", etcdctlTls({ caFile: authority.file })] : ["http", []];
  const put = await etcdctl([`${scheme}://${proxy.address}`], [...flags, "put", "found", "by DNS"]);
  expect(put).toMatchObject({ code: 0, stdout: "OK\n" });
}

describe.each(PRODUCTS)("%s", (product) => {
  test("uses a member that passes for the domain, and not those that do not", async () => {
    await dns.setRecords(
      ...tlsRecord("good", good),
      ...tlsRecord("misnamed", misnamed),
      ...tlsRecord("foreign", foreign),
    );
    await using proxy = await start(product, trusting(product, authority));
    expect(await discovered(proxy)).toEqual([nameOf("good", good)]);
    expect(warnings(proxy).toSorted()).toEqual([
      saying(/^foreign\.cluster\.test:\d+ is left out: .* by an authority that is not trusted here/),
      saying(/^misnamed\.cluster\.test:\d+ is left out: .* the certificate is for another name/),
    ]);
    await works(product, proxy, true);
  });

  test.each(["misnamed", "foreign"] as const)(
    "ends with one line when the only member is %s",
    async (host) => {
      const cluster = host === "foreign" ? foreign : misnamed;
      // One without TLS is there, and does not take its place.
      await dns.setRecords(...tlsRecord(host, cluster), ...plainRecord("plain", plain));
      const { code, stderr } = await runEtcdproxy(commandLine(product, [trusting(product, authority)]));
      expect(code).toBe(1);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr).toContain(`${nameOf(host, cluster)} is left out: it does not pass for ${DOMAIN}`);
    },
  );

  test("does not trust what this machine does not trust, without a CA file", async () => {
    await dns.setRecords(...tlsRecord("good", good));
    const { code, stderr } = await runEtcdproxy(commandLine(product, []));
    expect(code).toBe(1);
    expect(stderr).toContain("signed by an authority that is not trusted here");
  });

  test("uses members without TLS, with a warning, when no record promises it", async () => {
    await dns.setRecords(...plainRecord("plain", plain));
    await using proxy = await start(product);
    expect(await discovered(proxy)).toEqual([nameOf("plain", plain)]);
    expect(warnings(proxy)).toEqual([
      `_etcd-client-ssl._tcp.${DOMAIN} has no records; those of _etcd-client._tcp.${DOMAIN} are used, ` +
        "which promise no TLS",
    ]);
    await works(product, proxy, false);
  });

  test("leaves members without TLS out beside those with it", async () => {
    await dns.setRecords(...tlsRecord("good", good), ...plainRecord("plain", plain));
    await using proxy = await start(product, trusting(product, authority));
    expect(await discovered(proxy)).toEqual([nameOf("good", good)]);
    expect(warnings(proxy)[0]).toContain("--insecure-discovery takes both");
    await works(product, proxy, true);
  });

  test("takes all of them unchecked with --insecure-discovery", async () => {
    await dns.setRecords(
      ...tlsRecord("good", good),
      ...tlsRecord("foreign", foreign),
      ...plainRecord("plain", plain),
    );
    await using proxy = await start(product, "--insecure-discovery");
    const endpoints = await discovered(proxy);
    expect((endpoints as string[]).slice(0, 2).toSorted()).toEqual([
      nameOf("foreign", foreign),
      nameOf("good", good),
    ]);
    expect((endpoints as string[]).slice(2)).toEqual([nameOf("plain", plain)]);
    expect(warnings(proxy)).toEqual([]);
  });

  test("takes records as they are: a member that is down does not keep it from starting with another", async () => {
    const [port] = freePorts(1);
    await dns.setRecords(
      ...tlsRecord("good", good),
      ...member("etcd-client-ssl", DOMAIN, "down", `127.0.0.1:${port}`),
    );
    await using proxy = await start(product, trusting(product, authority));
    expect(warnings(proxy)).toEqual([
      `down.${DOMAIN}:${port} cannot be checked, ` +
        (product === "gateway" ? "left out for now" : "it is checked when it is dialled") +
        ": connection refused",
    ]);
    await works(product, proxy, true);
  });

  test("waits at the start for a name server that comes up", async () => {
    await dns.stop();
    await using proxy = new EtcdproxyProcess(commandLine(product, []), {});
    await proxy.loggedWhere("that it waits", ({ msg }) => msg.startsWith("not ready yet: "));
    await dns.setRecords(...plainRecord("plain", plain));
    await proxy.waitReady();
    await works(product, proxy, false);
  });
});

test("the grpc-proxy demands the domain of a member at each dial, not only when it is found", async () => {
  using relay = new TcpRelay(good.member(0).endpoint);
  const name = `misnamed.${DOMAIN}:${portOf(relay.endpoint)}`;
  await dns.setRecords(...member("etcd-client-ssl", DOMAIN, "misnamed", relay.endpoint));
  await using proxy = await start("grpc-proxy", trusting("grpc-proxy", authority));
  expect(await proxy.logged("connected to a member")).toMatchObject({ endpoint: name });
  // Its metrics page, too, is asked for under the domain: its certificate is not for the name.
  const page = await fetch(`http://${proxy.address}/metrics`);
  expect(await page.text()).toContain("etcd_server_has_leader 1");
  // From here on the name leads to a member that has a certificate for that name.
  relay.target = misnamed.member(0).endpoint;
  relay.cut();
  const refused = await proxy.loggedWhere(
    "that the impostor is refused",
    ({ msg, reason }) => msg === "a member cannot be used" && String(reason).includes("another name"),
  );
  expect(refused["endpoint"]).toBe(name);
  // And back: the right one is taken again.
  relay.target = good.member(0).endpoint;
  await works("grpc-proxy", proxy, true);
});
