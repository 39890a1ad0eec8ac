/** The certificates that tests make, as openssl and etcd see them, and a cluster that speaks TLS with them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { CertificateAuthority, EXPIRED, NOT_YET_VALID, authorityBundle } from "./certificates.ts";
import { runCommand } from "./child-process.ts";
import { startEtcdCluster, type EtcdCluster } from "./etcd-cluster.ts";
import { etcdctl, etcdctlTls } from "./etcdctl.ts";
import { GrpcClient, statusOf } from "./grpc-client.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const folder = new TemporaryFolder("certificates");
afterAll(() => folder[Symbol.dispose]());

let authority: CertificateAuthority;
beforeAll(async () => {
  authority = await CertificateAuthority.create(folder, "authority");
});

/** What `openssl <rest>` says, on either output. */
async function openssl(...rest: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runCommand(["openssl", ...rest]);
  return stdout + stderr;
}

describe("openssl", () => {
  test("takes a server's certificate for its names, with either kind of key", async () => {
    for (const keyType of ["ecdsa", "rsa"] as const) {
      const { certificateFile } = await authority.server(`server-${keyType}`, { keyType });
      for (const name of [
        ["-verify_hostname", "localhost"],
        ["-verify_ip", "127.0.0.1"],
      ]) {
        const verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", authority.file];
        expect(await openssl(...verify, ...name, certificateFile)).toContain(": OK");
      }
      const elsewhere = ["verify", "-CAfile", authority.file, "-verify_hostname", "elsewhere"];
      expect(await openssl(...elsewhere, certificateFile)).toContain("hostname mismatch");
    }
  });

  test("tells that a certificate is expired or not yet valid", async () => {
    const expired = await authority.client("expired", EXPIRED);
    const early = await authority.client("early", NOT_YET_VALID);
    const verify = ["verify", "-CAfile", authority.file];
    expect(await openssl(...verify, expired.certificateFile)).toContain("certificate has expired");
    expect(await openssl(...verify, early.certificateFile)).toContain("certificate is not yet valid");
  });

  test("finds the way over an intermediate authority, which comes along", async () => {
    const intermediate = await authority.intermediate("intermediate");
    const { certificateFile, certificatePem } = await intermediate.client("below");
    expect(certificatePem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const verify = ["verify", "-x509_strict", "-CAfile", authority.file];
    expect(await openssl(...verify, "-untrusted", certificateFile, certificateFile)).toContain(": OK");
    expect(await openssl(...verify, certificateFile)).toContain("unable to get local issuer certificate");
  });

  test("refuses what a list revokes, and only that, in either form", async () => {
    const good = await authority.client("good");
    const bad = await authority.client("bad");
    for (const form of ["pem", "der"] as const) {
      const list = await authority.revocationList(`list-${form}`, [bad], { form });
      const shown = await openssl("crl", "-inform", form, "-in", list, "-noout", "-CAfile", authority.file);
      expect(shown).toContain("verify OK");
      if (form === "der") continue; // `openssl verify` reads lists in PEM only.
      const verify = ["verify", "-x509_strict", "-crl_check", "-CAfile", authority.file, "-CRLfile", list];
      expect(await openssl(...verify, good.certificateFile)).toContain(": OK");
      expect(await openssl(...verify, bad.certificateFile)).toContain("certificate revoked");
    }
  });

  test("sees a CommonName only where one was asked for", async () => {
    const nameless = await authority.client("nameless");
    const named = await authority.client("named", { commonName: "root" });
    const subject = ["x509", "-noout", "-subject", "-in"];
    expect(await openssl(...subject, nameless.certificateFile)).not.toContain("CN");
    expect(await openssl(...subject, named.certificateFile)).toContain("CN = root");
  });

  test("verifies by any authority of a bundle", async () => {
    const other = await CertificateAuthority.create(folder, "other");
    const bundle = authorityBundle(folder, "bundle", [other, authority]);
    const { certificateFile } = await authority.client("bundled");
    expect(await openssl("verify", "-CAfile", bundle, certificateFile)).toContain(": OK");
    expect(await openssl("verify", "-CAfile", other.file, certificateFile)).toContain("unable to get local");
  });
});

describe("a cluster that asks for client certificates", () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    const server = await authority.server("member");
    const own = await authority.client("harness");
    cluster = await startEtcdCluster({
      members: 3,
      tls: { server, clients: { caFile: authority.file, own } },
    });
  });
  afterAll(() => cluster.dispose());

  test("is healthy and tells who leads", async () => {
    expect((await cluster.leader()).url).toStartWith("https://127.0.0.1:");
  });

  test("etcdctl with a certificate puts, without one it does not", async () => {
    const certificate = await authority.client("etcdctl");
    const caFile = authority.file;
    expect(
      await etcdctl(cluster.urls, [...etcdctlTls({ caFile, certificate }), "put", "key", "value"]),
    ).toMatchObject({ code: 0, stdout: "OK\n" });
    const bare = ["--dial-timeout=2s", "--command-timeout=2s"];
    expect(await etcdctl(cluster.urls, [...etcdctlTls({ caFile }), ...bare, "get", "key"])).toMatchObject({
      stdout: "",
    });
  });

  test("grpc-js with a certificate reads, without one it does not", async () => {
    const certificate = await authority.client("grpc-js");
    const { endpoint } = cluster.member(0);
    const key = Buffer.from("key");
    using known = new GrpcClient(endpoint, {}, { caFile: authority.file, certificate });
    expect((await known.unary(KV.method.range, { key })).header).toBeDefined();
    using unknown = new GrpcClient(endpoint, {}, { caFile: authority.file });
    expect((await statusOf(unknown.unary(KV.method.range, { key }))).code).toBe(14);
  });
});
