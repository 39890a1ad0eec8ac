import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { constants, createPrivateKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { DerReader, DerTag } from "../../src/tls/der.ts";
import { loadRevocationList } from "../../src/tls/revocation-list.ts";
import { TlsFileError } from "../../src/tls/tls-file.ts";
import { CertificateAuthority, hoursFromNow, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { encodeDer } from "./der-encoding.ts";

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
const load = async (path: string, ...authorities: CertificateAuthority[]) =>
  loadRevocationList({ flag: "--client-crl-file", path }, authorities.map(parsed));

describe("a revocation list", () => {
  test.each(["pem", "der"] as const)("in %s form names what is revoked", async (form) => {
    const list = await load(await authority.revocationList(`list-${form}`, [bad], { form }), authority);
    expect([list.has(parsed(bad)), list.has(parsed(good))]).toEqual([true, false]);
    expect(list.unchecked).toEqual([]);
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
    const stranger = await other.client("another stranger");
    const list = await load(await other.revocationList("same number", [bad, stranger]), authority, other);
    expect([bad, stranger].map((certificate) => list.has(parsed(certificate)))).toEqual([false, true]);
  });

  test("of an authority that is not among the trusted is used, and told of", async () => {
    const stranger = await other.client("a third stranger");
    const list = await load(await other.revocationList("unknown", [stranger]), authority);
    expect(list.unchecked).toEqual(["a list is of no authority in --trusted-ca-file"]);
    expect(list.has(parsed(stranger))).toBe(true);
  });

  test("that somebody else has signed in an authority's name is refused", async () => {
    const impostor = await CertificateAuthority.create(new TemporaryFolder("impostor"), "authority");
    const path = await impostor.revocationList("forged", [good]);
    const refusal = load(path, authority);
    await expect(refusal).rejects.toBeInstanceOf(TlsFileError);
    await expect(refusal).rejects.toThrow(
      `--client-crl-file ${path}: the list of authority is not signed by that authority of --trusted-ca-file`,
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

describe("lists as openssl's authorities sign them", () => {
  const SHA256_WITH_RSA = "2a864886f70d01010b";
  const PSS_SHA256 =
    "2a864886f70d01010a" + // and its parameters: SHA-256, MGF1 with SHA-256, 32 bytes of salt
    "3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120";

  interface Signer {
    readonly certificate: X509Certificate;
    readonly key: KeyObject;
  }

  function openssl(name: string, ...key: string[]): Signer {
    const [certificateFile, keyFile] = [folder.file(`${name}.pem`), folder.file(`${name}.key`)];
    const subject = ["-subj", `/CN=${name}`, "-days", "2", "-nodes"];
    execFileSync(
      "openssl",
      ["req", "-x509", ...key, ...subject, "-out", certificateFile, "-keyout", keyFile],
      {
        stdio: "ignore",
      },
    );
    return {
      certificate: new X509Certificate(readFileSync(certificateFile)),
      key: createPrivateKey(readFileSync(keyFile)),
    };
  }

  /** The encoded issuer of a certificate that signs itself. */
  function issuerOf({ raw }: X509Certificate): Buffer {
    const fields = new DerReader(raw).sequence().sequence();
    for (const tag of [DerTag.CONTEXT_0, DerTag.INTEGER, DerTag.SEQUENCE]) fields.next(tag);
    return fields.next(DerTag.SEQUENCE).encoded;
  }

  /** `algorithm`: an object identifier's content, and parameters behind it, in hexadecimal. */
  function writeList(
    name: string,
    { certificate, key }: Signer,
    algorithm: string,
    hash: string | null,
    serials: readonly Buffer[],
    padding?: number,
  ): string {
    const oidLength = algorithm.startsWith("2a86488") ? 18 : algorithm.length;
    const identifier = encodeDer(
      DerTag.SEQUENCE,
      encodeDer(DerTag.OBJECT_IDENTIFIER, Buffer.from(algorithm.slice(0, oidLength), "hex")),
      Buffer.from(algorithm.slice(oidLength), "hex"),
    );
    const time = (text: string): Buffer => encodeDer(DerTag.UTC_TIME, Buffer.from(text));
    const entries = serials.map((serial) =>
      encodeDer(DerTag.SEQUENCE, encodeDer(DerTag.INTEGER, serial), time("260101000000Z")),
    );
    const signed = encodeDer(
      DerTag.SEQUENCE,
      encodeDer(DerTag.INTEGER, Buffer.from([1])),
      identifier,
      issuerOf(certificate),
      time("260101000000Z"),
      ...(entries.length === 0 ? [] : [encodeDer(DerTag.SEQUENCE, ...entries)]),
    );
    const signature = sign(hash, signed, padding === undefined ? key : { key, padding, saltLength: 32 });
    const list = encodeDer(
      DerTag.SEQUENCE,
      signed,
      identifier,
      encodeDer(DerTag.BIT_STRING, Buffer.concat([Buffer.from([0]), signature])),
    );
    const path = folder.file(`${name}.crl`);
    writeFileSync(path, list);
    return path;
  }

  const loaded = (path: string, signer: Signer) =>
    loadRevocationList({ flag: "--client-crl-file", path }, [signer.certificate]);
  const own = ({ certificate }: Signer): Buffer => Buffer.from(certificate.serialNumber, "hex");

  test.each([
    ["rsa", ["-newkey", "rsa:2048"], SHA256_WITH_RSA, "sha256", undefined],
    ["pss", ["-newkey", "rsa:2048"], PSS_SHA256, "sha256", constants.RSA_PKCS1_PSS_PADDING],
    ["ed25519", ["-newkey", "ed25519"], "2b6570", null, undefined],
  ] as const)("by %s are checked", (name, keyWords, algorithm, hash, padding) => {
    const signer = openssl(name, ...keyWords);
    const list = loaded(writeList(name, signer, algorithm, hash, [own(signer)], padding), signer);
    expect([list.unchecked, list.nextUpdateMs, list.has(signer.certificate)]).toEqual([[], null, true]);
    const impostor = { certificate: signer.certificate, key: openssl(`${name}-impostor`, ...keyWords).key };
    expect(() => loaded(writeList(name, impostor, algorithm, hash, [], padding), signer)).toThrow(
      `the list of ${name} is not signed by that authority`,
    );
  });

  test("in a way that is not known are used, and told of", () => {
    const signer = openssl("sha1", "-newkey", "rsa:2048");
    const list = loaded(writeList("sha1", signer, "2a864886f70d010105", "sha1", [own(signer)]), signer);
    expect(list.unchecked).toEqual(["the list of sha1 is signed in a way that is not known here"]);
    expect(list.has(signer.certificate)).toBe(true);
  });

  test("may be empty, and may be long", () => {
    const signer = openssl("long", "-newkey", "rsa:2048");
    expect(
      loaded(writeList("empty", signer, SHA256_WITH_RSA, "sha256", []), signer).has(signer.certificate),
    ).toBe(false);
    const many = Array.from({ length: 50_000 }, (_, index) =>
      Buffer.from((0x40_0000_0000 + index).toString(16), "hex"),
    );
    const path = writeList("long", signer, SHA256_WITH_RSA, "sha256", [...many, own(signer)]);
    expect(loaded(path, signer).has(signer.certificate)).toBe(true);
  });
});
