/**
 * The listener of `--metrics-addr` over TLS, in front of a member that wants a certificate: what it serves with, whom it
 * lets in, and when all that ends.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CertificateAuthority, type IssuedCertificate } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { readExposition, valueOf } from "../harness/exposition.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { curl, type HttpVersion } from "./curl.ts";

setDefaultTimeout(60_000);

const folder = new TemporaryFolder("metrics-tls");
let memberAuthority: CertificateAuthority;
let proxyAuthority: CertificateAuthority;
let toMembers: IssuedCertificate;
let served: IssuedCertificate;
let client: IssuedCertificate;
let cluster: EtcdCluster;

beforeAll(async () => {
  memberAuthority = await CertificateAuthority.create(folder, "members");
  proxyAuthority = await CertificateAuthority.create(folder, "proxy");
  toMembers = await memberAuthority.client("proxy-to-members");
  served = await proxyAuthority.server("proxy-server");
  client = await proxyAuthority.client("client");
  const server = await memberAuthority.server("member");
  const clients = { caFile: memberAuthority.file, own: toMembers };
  cluster = await startEtcdCluster({ members: 1, tls: { server, clients } });
}, 120_000);
afterAll(async () => {
  await cluster.dispose();
  folder[Symbol.dispose]();
});

/** The flags towards members and towards clients, and where the pages are. */
function start(metricsUrl: string, servedFlags: readonly string[]): Promise<EtcdproxyProcess> {
  return startGrpcProxy(cluster.endpoints, [
    `--metrics-addr=${metricsUrl}`,
    `--cert=${toMembers.certificateFile}`,
    `--key=${toMembers.keyFile}`,
    `--cacert=${memberAuthority.file}`,
    ...servedFlags,
  ]);
}

const clientsShowCertificates = (): string[] => [
  `--cert-file=${served.certificateFile}`,
  `--key-file=${served.keyFile}`,
  `--trusted-ca-file=${proxyAuthority.file}`,
];

async function metricsUrlOf(proxy: EtcdproxyProcess): Promise<string> {
  return String((await proxy.logged("listening for metrics"))["address"]);
}

const trusting = (): string[] => ["--cacert", proxyAuthority.file];
const showing = (): string[] => [
  ...trusting(),
  ...["--cert", client.certificateFile, "--key", client.keyFile],
];

describe("--metrics-addr https with client certificates", () => {
  let proxy: EtcdproxyProcess;
  let url = "";
  beforeAll(async () => {
    proxy = await start("https://127.0.0.1:0", clientsShowCertificates());
    url = await metricsUrlOf(proxy);
  });
  afterAll(() => proxy[Symbol.asyncDispose]());

  test("the log says so", () => {
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  });

  test.each<HttpVersion>(["HTTP/1.1", "HTTP/2"])("has the pages over %s", async (version) => {
    const own = await curl(version, `${url}/proxy/metrics`, showing());
    expect(own.status).toBe(200);
    expect(valueOf(readExposition(own.body), "etcdproxy_member_connections")).toBe(1);
    const member = await curl(version, `${url}/metrics`, showing());
    expect(member.status).toBe(200);
    expect(member.body).toContain("etcd_server_has_leader 1");
    const health = await curl(version, `${url}/health`, showing());
    expect(health).toMatchObject({ status: 200, body: '{"health":"true","reason":""}' });
  });

  test("has no page for a client without a certificate, or in plain text", async () => {
    await expect(curl("HTTP/2", `${url}/health`, trusting())).rejects.toThrow();
    await expect(curl("HTTP/1.1", `${url.replace("https", "http")}/health`)).rejects.toThrow();
    await proxy.logged("a client's TLS handshake failed");
  });

  test("tells when each certificate ends", async () => {
    const { body } = await curl("HTTP/2", `${url}/proxy/metrics`, showing());
    const families = readExposition(body);
    const name = "etcdproxy_certificate_expiry_timestamp_seconds";
    const ends = (flag: string): number => valueOf(families, `${name}{flag="${flag}"}`);
    const seconds = ({ notAfter }: IssuedCertificate): number => Math.floor(notAfter.getTime() / 1000);
    expect([ends("cert-file"), ends("cert")]).toEqual([seconds(served), seconds(toMembers)]);
    expect([...families.get(name)!.samples.keys()].toSorted()).toEqual(
      ["cacert", "cert", "cert-file", "trusted-ca-file"].map((flag) => `${name}{flag="${flag}"}`),
    );
  });
});

test("--metrics-addr http stays plain text beside a main port with TLS", async () => {
  await using proxy = await start("http://127.0.0.1:0", clientsShowCertificates());
  const answer = await curl("HTTP/1.1", `${await metricsUrlOf(proxy)}/proxy/metrics`);
  expect(answer.status).toBe(200);
  expect(readExposition(answer.body).size).toBeGreaterThan(0);
});

test("a certificate that the proxy makes itself is good for the address of --metrics-addr", async () => {
  const data = folder.file("data");
  await using proxy = await start("https://127.0.0.2:0", ["--auto-tls", `--data-dir=${data}`]);
  const trustingIt = ["--cacert", `${data}/fixtures/proxy/cert.pem`];
  const answer = await curl("HTTP/2", `${await metricsUrlOf(proxy)}/proxy/metrics`, trustingIt);
  const name = 'etcdproxy_certificate_expiry_timestamp_seconds{flag="auto-tls"}';
  expect(valueOf(readExposition(answer.body), name)).toBeGreaterThan(Date.now() / 1000);
});
