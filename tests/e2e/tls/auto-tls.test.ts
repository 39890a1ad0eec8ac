/** --auto-tls: a certificate that the proxy makes for itself, and keeps. */
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { CertificateAuthority, EXPIRED } from "../../harness/certificates.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { curl } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { shownSerialNumber } from "./s-client.ts";

setDefaultTimeout(60_000);

const DAY_MS = 24 * 3_600_000;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

/** A data folder of a proxy's own. */
class DataFolder extends TemporaryFolder {
  readonly dataFolder = this.file("data");
  readonly kept = join(this.dataFolder, "fixtures", "proxy");
  readonly certificateFile = join(this.kept, "cert.pem");
  readonly keyFile = join(this.kept, "key.pem");

  constructor() {
    super("autotls");
  }

  start(...flags: readonly string[]): Promise<EtcdproxyProcess> {
    return startGrpcProxy(cluster.endpoints, ["--auto-tls", `--data-dir=${this.dataFolder}`, ...flags]);
  }

  certificate(): X509Certificate {
    return new X509Certificate(readFileSync(this.certificateFile));
  }
}

function validDays({ validFromDate, validToDate }: X509Certificate): number {
  return (validToDate.getTime() - validFromDate.getTime()) / DAY_MS;
}

test("the certificate is made, kept under --data-dir, and good for clients that trust it", async () => {
  using folder = new DataFolder();
  await using proxy = await folder.start();
  expect(statSync(folder.keyFile).mode & 0o777).toBe(0o600);
  const certificate = folder.certificate();
  expect(await shownSerialNumber(proxy.address)).toBe(certificate.serialNumber.toLowerCase());
  expect(certificate.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(Math.round(validDays(certificate))).toBeWithin(364, 368);
  expect(certificate.validFromDate.getTime()).toBeLessThanOrEqual(Date.now());

  const url = `https://${proxy.address}`;
  const { status } = await curl("negotiated", `${url}/health`, ["--cacert", folder.certificateFile]);
  expect(status).toBe(200);
  const trusting = [`--cacert=${folder.certificateFile}`];
  expect(await etcdctl([url], [...trusting, "put", "auto", "tls"])).toMatchObject({ stdout: "OK\n" });
  const careless = ["--insecure-skip-tls-verify", "--insecure-transport=false"];
  expect(await etcdctl([url], [...careless, "get", "auto"])).toMatchObject({ stdout: "auto\ntls\n" });
});

test("grpc-js trusts it as its own authority", async () => {
  using folder = new DataFolder();
  await using proxy = await folder.start("--listen-addr=localhost:0");
  using client = new GrpcClient(proxy.address, {}, { caFile: folder.certificateFile });
  await client.unary(KV.method.range, { key: bytes("key") });
});

test("the next start uses it again", async () => {
  using folder = new DataFolder();
  await (await folder.start()).stop();
  const { serialNumber } = folder.certificate();
  await using proxy = await folder.start();
  expect(await shownSerialNumber(proxy.address)).toBe(serialNumber.toLowerCase());
  expect(folder.certificate().serialNumber).toBe(serialNumber);
});

test("--self-signed-cert-validity is counted in years", async () => {
  using folder = new DataFolder();
  await using proxy = await folder.start("--self-signed-cert-validity=3");
  expect(proxy.running).toBe(true);
  expect(Math.round(validDays(folder.certificate()) / 365)).toBe(3);
});

test("one that has expired is made anew", async () => {
  using folder = new DataFolder();
  const authority = await CertificateAuthority.create(folder, "authority");
  const expired = await authority.server("expired", EXPIRED);
  mkdirSync(folder.kept, { recursive: true });
  await Bun.write(folder.certificateFile, expired.certificatePem);
  await Bun.write(folder.keyFile, expired.keyPem);
  await using proxy = await folder.start();
  const { serialNumber, validToDate } = folder.certificate();
  expect(await shownSerialNumber(proxy.address)).toBe(serialNumber.toLowerCase());
  expect(serialNumber.toLowerCase()).not.toBe(expired.serialNumber);
  expect(validToDate.getTime()).toBeGreaterThan(Date.now() + 300 * DAY_MS);
  expect(statSync(folder.keyFile).mode & 0o777).toBe(0o600);
});
