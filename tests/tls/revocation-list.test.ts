import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { loadRevocationList } from "../../src/tls/revocation-list.ts";
import { TlsFileError } from "../../src/tls/tls-file.ts";
import { CertificateAuthority, hoursFromNow, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let authority: CertificateAuthority;
let other: CertificateAuthority;
let good: IssuedCertificate;
let bad: IssuedCertificate;

beforeAll(async () => {
  folder = new TemporaryFolder("revocation");
  authority = await CertificateAuthority.create(folder, "authority");
  other = await CertificateAuthority.create(folder, "other");
  good = await authority.client("good");
  bad = await authority.client("bad");
});
afterAll(() => folder[Symbol.dispose]());

const parsed = ({ certificatePem }: { certificatePem: string }): X509Certificate =>
  new X509Certificate(certificatePem);
const load = (path: string, ...authorities: CertificateAuthority[]) =>
  loadRevocationList({ flag: "--client-crl-file", path }, authorities.map(parsed));

describe("a revocation list", () => {
  test.each(["pem", "der"] as const)("in %s form names what is revoked", async (form) => {
    const list = await load(await authority.revocationList(`list-${form}`, [bad], { form }), authority);
    expect([list.has(parsed(bad)), list.has(parsed(good))]).toEqual([true, false]);
    expect(list.unknownIssuers).toEqual([]);
  });

  test("may be one of several in a file, and the first to be replaced tells when", async () => {
    const stranger = await other.client("stranger");
    const soon = hoursFromNow(0.5);
    const first = readFileSync(
      await authority.revocationList("first", [bad], { nextUpdate: hoursFromNow(2) }),
    );
    const second = readFileSync(await other.revocationList("second", [stranger], { nextUpdate: soon }));
    const path = folder.file("both.crl");
    writeFileSync(path, Buffer.concat([first, second]));
    const list = await load(path, authority, other);
    expect([bad, stranger, good].map((certificate) => list.has(parsed(certificate)))).toEqual([
      true,
      true,
      false,
    ]);
    expect(list.nextUpdateMs).toBe(Math.floor(soon.getTime() / 1000) * 1000);
  });

  test("speaks of its own authority's certificates only, whatever their numbers", async () => {
    const list = await load(await authority.revocationList("own", [bad]), authority);
    const sameNumber = { issuer: other, serialNumber: bad.serialNumber };
    const foreign = parsed(await other.client("foreign"));
    Object.defineProperty(foreign, "serialNumber", { value: sameNumber.serialNumber });
    expect(list.has(foreign)).toBe(false);
  });

  test("of an authority that is not among the trusted is used, and told of", async () => {
    const list = await load(await other.revocationList("unknown", [bad]), authority);
    expect(list.unknownIssuers).toEqual(["CN=other"]);
  });

  test("that somebody else has signed in an authority's name is refused", async () => {
    const impostor = await CertificateAuthority.create(new TemporaryFolder("impostor"), "authority");
    const path = await impostor.revocationList("forged", [good]);
    const refusal = load(path, authority);
    await expect(refusal).rejects.toBeInstanceOf(TlsFileError);
    await expect(refusal).rejects.toThrow(
      `--client-crl-file ${path}: the list of CN=authority is not signed by that authority of --trusted-ca-file`,
    );
  });

  test.each(["hello", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])(
    "is not %j",
    async (text) => {
      const path = folder.file("junk.crl");
      writeFileSync(path, text);
      await expect(load(path, authority)).rejects.toThrow(
        `--client-crl-file ${path}: this holds no certificate revocation list, neither in PEM form nor in DER`,
      );
    },
  );

  test("is not a certificate", async () => {
    await expect(load(good.certificateFile, authority)).rejects.toThrow("no certificate revocation list");
  });
});
