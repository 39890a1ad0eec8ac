/** The grpc-proxy's TLS towards members: whom it talks to, what it shows, and what works behind it. */
import { createPrivateKey } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { authorityBundle, CertificateAuthority } from "../../harness/certificates.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, runEtcdproxy, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { curl } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { fresh, shownToMembers, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

/** A put and a get through the proxy succeed. */
async function works(proxy: EtcdproxyProcess, key = "works"): Promise<void> {
  using client = new GrpcClient(proxy.address);
  await client.unary(KV.method.put, { key: bytes(key), value: bytes("value") });
  const { kvs } = await client.unary(KV.method.range, { key: bytes(key) });
  expect(Buffer.from(kvs[0]!.value).toString()).toBe("value");
}

/** Starts a proxy with these flags, in which all must work. */
async function worksWith(endpoints: readonly string[], flags: readonly string[]): Promise<void> {
  await using proxy = await startGrpcProxy(endpoints, flags);
  await works(proxy);
}

describe("a member that is who it should be", () => {
  test("is found by its address and by its name", async () => {
    const { member, memberFlags } = secure();
    await worksWith([member.url], memberFlags);
    await worksWith([member.url.replace("127.0.0.1", "localhost")], memberFlags);
  });

  test("is checked by an authority that is one of several in the file", async () => {
    const { member, folder, inner, outer, towardsMembers } = secure();
    const bundle = authorityBundle(folder, "several", [outer, inner]);
    await worksWith([member.url], [`--cacert=${bundle}`, ...shownToMembers(towardsMembers)]);
  });

  test("is known by a certificate of an intermediate authority, as the proxy is to it", async () => {
    const { member, memberFlags, inner } = secure();
    const below = await inner.intermediate("below-inner");
    const other = await fresh(below, "server");
    await secure().showing(other, () => worksWith([member.url], memberFlags));
    const certificate = await fresh(below, "client");
    await worksWith([member.url], [`--cacert=${inner.file}`, ...shownToMembers(certificate)]);
  });

  test("may have an RSA key, and so may the proxy", async () => {
    const { member, inner } = secure();
    const certificate = await fresh(inner, "client", { keyType: "rsa" });
    const flags = [`--cacert=${inner.file}`, ...shownToMembers(certificate)];
    const other = await fresh(inner, "server", { keyType: "rsa" });
    await secure().showing(other, () => worksWith([member.url], flags));
  });

  test.each([
    ["ecdsa", "sec1"],
    ["rsa", "pkcs1"],
  ] as const)("is shown a certificate whose %s key is written in %s", async (keyType, type) => {
    const { member, inner } = secure();
    const certificate = await fresh(inner, "client", { keyType });
    const text = createPrivateKey(certificate.keyPem).export({ type, format: "pem" });
    await Bun.write(certificate.keyFile, text);
    await worksWith([member.url], [`--cacert=${inner.file}`, ...shownToMembers(certificate)]);
  });
});

describe("which endpoints are spoken to in TLS", () => {
  let plain: EtcdCluster;
  beforeAll(async () => {
    plain = await startEtcdCluster({ members: 1 });
  });
  afterAll(() => plain.dispose());

  test("https:// is, without any flag: the system's authorities do not know the member", async () => {
    const { member } = secure();
    await using proxy = await startGrpcProxy([member.url]);
    using client = new GrpcClient(proxy.address);
    const failure = await client.unary(KV.method.range, { key: bytes("a") }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 14 });
    expect(String(failure)).toContain(member.endpoint);
    expect(String(failure)).toMatch(/certificate|verify/i);
  });

  test("http:// never is, whatever the flags", async () => {
    await worksWith(plain.urls, secure().memberFlags);
  });

  test("without a scheme it is with a flag, and is not without one", async () => {
    await worksWith([secure().member.endpoint], secure().memberFlags);
    await worksWith(plain.endpoints, []);
  });

  test.each([["--insecure-skip-tls-verify"], ["--cacert"]])("%s alone makes it so", async (flag) => {
    const open = await startEtcdCluster({ members: 1, tls: { server: secure().shown } });
    try {
      await worksWith(open.endpoints, [flag === "--cacert" ? `${flag}=${secure().inner.file}` : flag]);
    } finally {
      await open.dispose();
    }
  });

  test("a list may have both", async () => {
    const { member, memberFlags } = secure();
    await using proxy = await startGrpcProxy([member.url, ...plain.urls], memberFlags);
    await works(proxy, "first of both");
    await member.kill();
    try {
      await works(proxy, "second of both");
    } finally {
      member.restart();
      await member.waitHealthy();
    }
  });
});

describe("pages behind TLS", () => {
  test("/metrics is the member's page, fetched with the proxy's own certificate", async () => {
    const { member, memberFlags } = secure();
    await using proxy = await startGrpcProxy([member.url], memberFlags);
    const { status, body } = await curl("HTTP/1.1", `http://${proxy.address}/metrics`);
    expect({ status, body }).toEqual({
      status: 200,
      body: expect.stringContaining("etcd_server_has_leader 1"),
    });
  });

  test("/health tells that the cluster can be read", async () => {
    const { member, memberFlags } = secure();
    await using proxy = await startGrpcProxy([member.url], memberFlags);
    const { body } = await curl("HTTP/1.1", `http://${proxy.address}/health`);
    expect(JSON.parse(body)).toEqual({ health: "true", reason: "" });
  });

  test("/metrics of a member that refuses the proxy is an error with the reason", async () => {
    const { member, inner, outer } = secure();
    const stranger = await fresh(outer, "client");
    await using proxy = await startGrpcProxy(
      [member.url],
      [`--cacert=${inner.file}`, ...shownToMembers(stranger)],
    );
    const { status, body } = await curl("HTTP/1.1", `http://${proxy.address}/metrics`);
    expect(status).toBeGreaterThanOrEqual(500);
    expect(body).toContain(member.endpoint);
  });
});

describe("a certificate with a CommonName", () => {
  test("is refused at start, since members would take every client for that user", async () => {
    const { member, inner } = secure();
    const named = await fresh(inner, "client", { commonName: "root" });
    const flags = [`--endpoints=${member.url}`, `--cacert=${inner.file}`, ...shownToMembers(named)];
    const { code, stdout, stderr } = await runEtcdproxy([
      "grpc-proxy",
      "start",
      "--listen-addr=127.0.0.1:0",
      ...flags,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr).toContain("--cert");
    expect(stderr).toContain(named.certificateFile);
    expect(stderr).toMatch(/CommonName/);
  });

  test("is as good as any other for a member", async () => {
    const { member, memberFlags, inner } = secure();
    const named = await fresh(inner, "server", { commonName: "member" });
    await secure().showing(named, () => worksWith([member.url], memberFlags));
  });

  test("does not stand in the way when it is an authority's, in the same file", async () => {
    const { member, inner } = secure();
    const below = await (
      await CertificateAuthority.create(secure().folder, "unrelated")
    ).intermediate("extra");
    const certificate = await fresh(inner, "client");
    await Bun.write(certificate.certificateFile, certificate.certificatePem + below.certificatePem);
    await worksWith([member.url], [`--cacert=${inner.file}`, ...shownToMembers(certificate)]);
  });
});
