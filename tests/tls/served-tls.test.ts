import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { createLogger } from "../../src/observe/log.ts";
import { MemberTls, type MemberTlsOptions } from "../../src/tls/member-tls.ts";
import { ServedTls, type ServedTlsOptions } from "../../src/tls/served-tls.ts";
import {
  authorityBundle,
  CertificateAuthority,
  EXPIRED,
  hoursFromNow,
  type IssuedCertificate,
} from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let authority: CertificateAuthority;
let middle: CertificateAuthority;
let server: IssuedCertificate;
let client: IssuedCertificate;

beforeAll(async () => {
  folder = new TemporaryFolder("served");
  authority = await CertificateAuthority.create(folder, "authority");
  middle = await authority.intermediate("middle");
  server = await authority.server("server");
  client = await authority.client("client");
});
afterAll(() => folder[Symbol.dispose]());

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000) * 1000;

function warnings() {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) };
  return { lines, log: createLogger({ level: "warn", output: "json", destination }) };
}

function served(certificate: IssuedCertificate, more: Partial<ServedTlsOptions> = {}): Promise<ServedTls> {
  return ServedTls.load({
    source: {
      certificate: { flag: "--cert-file", path: certificate.certificateFile },
      key: { flag: "--key-file", path: certificate.keyFile },
    },
    trustedCa: null,
    revocationList: null,
    versionMin: "TLSv1.2",
    versionMax: "TLSv1.3",
    cipherList: null,
    log: warnings().log,
    ...more,
  });
}

const trusted = (path: string) => ({ trustedCa: { flag: "--trusted-ca-file", path } });
const revoked = (path: string) => ({ revocationList: { flag: "--client-crl-file", path } });

describe("what clients are served with", () => {
  test("is the certificate with its key, and nobody is asked for one", async () => {
    const tls = await served(server);
    expect(tls.credentials.certificate).toContain(server.certificatePem.trim());
    expect(tls.credentials.trustedCa).toBeNull();
    expect([...tls.expiries()]).toEqual([{ flag: "--cert-file", atMs: seconds(server.notAfter) }]);
  });

  test("refuses revoked certificates, and tells when each part ends", async () => {
    const crl = await authority.revocationList("revoked", [client], { nextUpdate: hoursFromNow(0.5) });
    const tls = await served(server, { ...trusted(authority.file), ...revoked(crl) });
    expect(tls.refusalOf([new X509Certificate(client.certificatePem)])).toBe("the certificate is revoked");
    expect(tls.refusalOf([new X509Certificate(server.certificatePem)])).toBe("");
    expect([...tls.expiries()].map(({ flag }) => flag)).toEqual([
      "--cert-file",
      "--trusted-ca-file",
      "--client-crl-file",
    ]);
  });

  test("trusts no authority that is revoked itself", async () => {
    const bundle = authorityBundle(folder, "bundle", [authority, middle]);
    const own = new X509Certificate(middle.certificatePem);
    const crl = await authority.revocationList("middle-revoked", [
      { ...server, serialNumber: own.serialNumber },
    ]);
    const tls = await served(server, { ...trusted(bundle), ...revoked(crl) });
    expect(tls.credentials.trustedCa).toContain(authority.certificatePem.trim());
    expect(tls.credentials.trustedCa).not.toContain(middle.certificatePem.trim());
  });

  test("warns of a certificate that has ended, and of a list that is out of date, and serves", async () => {
    const { lines, log } = warnings();
    const late = await authority.server("late", EXPIRED);
    const crl = await authority.revocationList("old", [client], { nextUpdate: hoursFromNow(-0.5) });
    const tls = await served(late, { ...trusted(authority.file), ...revoked(crl), log });
    expect(lines).toEqual([
      expect.stringContaining(`--cert-file ${late.certificateFile}: the certificate has expired`),
      expect.stringContaining(`--client-crl-file ${crl}: the list is out of date since`),
    ] as string[]);
    expect(tls.refusalOf([new X509Certificate(client.certificatePem)])).toBe("the certificate is revoked");
  });

  test("changes whole or not at all, and those who watch hear of changes only", async () => {
    const files = { ...server, certificateFile: folder.file("live.crt"), keyFile: folder.file("live.key") };
    copyFileSync(server.certificateFile, files.certificateFile);
    copyFileSync(server.keyFile, files.keyFile);
    const tls = await served(files);
    let heard = 0;
    tls.watch(() => heard++);
    const next = await authority.server("next");
    writeFileSync(files.certificateFile, next.certificatePem);
    await expect(tls.load()).rejects.toThrow("this is not the private key of the certificate");
    expect([heard, tls.credentials.key]).toEqual([0, readFileSync(server.keyFile, "utf8")]);
    writeFileSync(files.keyFile, next.keyPem);
    await tls.load();
    expect([heard, tls.credentials.key]).toEqual([1, next.keyPem]);
  });

  test("may be made by the proxy itself, and is kept for the next start", async () => {
    const source = {
      selfSigned: { folder: folder.file("own"), validityYears: 1, hostnames: ["a.example.com"] },
    };
    const first = await served(server, { source });
    const second = await served(server, { source });
    expect(second.credentials.certificate).toBe(first.credentials.certificate);
    await second.maintain();
    expect([...second.expiries()].map(({ flag }) => flag)).toEqual(["--auto-tls"]);
  });
});

describe("what members are shown", () => {
  const shown = (certificate: IssuedCertificate | null, more: Partial<MemberTlsOptions> = {}): MemberTls =>
    MemberTls.load({
      pair: certificate && {
        certificate: { flag: "--cert", path: certificate.certificateFile },
        key: { flag: "--key", path: certificate.keyFile },
      },
      trustedCa: { flag: "--cacert", path: authority.file },
      verify: true,
      log: warnings().log,
      ...more,
    });

  test("is never a certificate with a CommonName", async () => {
    const named = await authority.client("named", { commonName: "root" });
    expect(() => shown(named)).toThrow(
      `--cert ${named.certificateFile}: the certificate has the CommonName "root": while auth is on, members would take ` +
        "every client of the proxy for the user of that name; use a certificate without a CommonName",
    );
  });

  test("stays when the next one has a CommonName", async () => {
    const files = { ...client, certificateFile: folder.file("shown.crt"), keyFile: folder.file("shown.key") };
    copyFileSync(client.certificateFile, files.certificateFile);
    copyFileSync(client.keyFile, files.keyFile);
    const tls = shown(files);
    const before = tls.forDial("a.example.com").context;
    const named = await authority.client("next named", { commonName: "root" });
    writeFileSync(files.certificateFile, named.certificatePem);
    writeFileSync(files.keyFile, named.keyPem);
    await expect(tls.load()).rejects.toThrow("CommonName");
    expect(tls.forDial("a.example.com").context).toBe(before);
    expect(tls.forRequest().key).toBe(client.keyPem);
  });

  test("names the server that is dialled, but for addresses", () => {
    const tls = shown(client);
    expect(["a.example.com", "10.0.0.1", "::1"].map((name) => tls.forDial(name).serverName)).toEqual([
      "a.example.com",
      "",
      "",
    ]);
  });

  test("may be nothing, and what this machine trusts is trusted then", () => {
    const tls = shown(null, { trustedCa: null });
    expect(tls.files).toEqual([]);
    expect(tls.forRequest().ca.length).toBeGreaterThan(10);
    expect([...tls.expiries()]).toEqual([]);
  });
});
