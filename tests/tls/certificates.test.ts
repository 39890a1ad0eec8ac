import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import {
  commonName,
  expiryMs,
  loadCertificates,
  loadKeyPair,
  validityProblem,
} from "../../src/tls/certificates.ts";
import { readTlsFile, TlsFileError } from "../../src/tls/tls-file.ts";
import { CertificateAuthority, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let authority: CertificateAuthority;
let server: IssuedCertificate;

beforeAll(async () => {
  folder = new TemporaryFolder("certificates");
  authority = await CertificateAuthority.create(folder, "authority");
  server = await authority.server("server");
});
afterAll(() => folder[Symbol.dispose]());

function written(name: string, text: string): string {
  const path = folder.file(name);
  writeFileSync(path, text);
  return path;
}

const ROOT = 0;
const NOBODY = 65534;

/** Root may read everything; nobody may not. */
function asNobody<Result>(work: () => Result): Result {
  if (process.geteuid?.() !== ROOT) return work();
  chmodSync(folder.path, 0o755);
  process.seteuid?.(NOBODY);
  try {
    return work();
  } finally {
    process.seteuid?.(ROOT);
  }
}

/** What loading a pair says of these files. */
function problemOf(certificatePath: string, keyPath: string): string {
  try {
    loadKeyPair({ flag: "--cert-file", path: certificatePath }, { flag: "--key-file", path: keyPath });
    return "";
  } catch (error) {
    if (error instanceof TlsFileError) return error.message;
    throw error;
  }
}

describe("a certificate and its key", () => {
  test("come with the whole chain, the leaf first", async () => {
    const middle = await authority.intermediate("middle");
    const chained = await middle.server("chained", { names: ["a.example.com"] });
    const pair = loadKeyPair(
      { flag: "--cert-file", path: chained.certificateFile },
      { flag: "--key-file", path: chained.keyFile },
    );
    expect(pair.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(pair.leaf.subjectAltName).toBe("DNS:a.example.com");
    expect(expiryMs(pair.leaf)).toBe(Math.floor(chained.notAfter.getTime() / 1000) * 1000);
  });

  test("are found among other text, and in keys of older forms", () => {
    const noisy = written("noisy.crt", `subject=/O=server\n${server.certificatePem}\ntrailing text\n`);
    const traditional = execFileSync("openssl", ["pkey", "-in", server.keyFile, "-traditional"]).toString();
    expect(traditional).toContain("EC PRIVATE KEY");
    expect(problemOf(noisy, written("traditional.key", traditional))).toBe("");
  });

  test("may be RSA", async () => {
    const rsa = await authority.server("rsa", { keyType: "rsa" });
    expect(problemOf(rsa.certificateFile, rsa.keyFile)).toBe("");
  });

  test("that do not belong together are told apart by both flags", async () => {
    const other = await authority.server("other");
    expect(problemOf(server.certificateFile, other.keyFile)).toBe(
      `--key-file ${other.keyFile}: this is not the private key of the certificate in --cert-file ${server.certificateFile}`,
    );
  });

  test("in the wrong files are told", () => {
    expect(problemOf(server.keyFile, server.keyFile)).toBe(
      `--cert-file ${server.keyFile}: this holds a private key where a certificate is wanted`,
    );
    expect(problemOf(server.certificateFile, server.certificateFile)).toBe(
      `--key-file ${server.certificateFile}: this holds a certificate where a private key in PEM form is wanted`,
    );
  });

  test.each([
    ["", "the file is empty"],
    ["hello\n", "this holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"],
    ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be read"],
  ])("of which the first is %j are refused", (text, problem) => {
    const path = written("bad.crt", text);
    expect(problemOf(path, server.keyFile)).toStartWith(`--cert-file ${path}: ${problem}`);
  });

  test("of which the second certificate is cut short are refused by its number", () => {
    const path = written(
      "cut.crt",
      `${server.certificatePem}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`,
    );
    expect(problemOf(path, server.keyFile)).toContain("certificate 2 cannot be read");
  });

  test("with a key that is encrypted are refused: nobody is there to type the passphrase", () => {
    const path = folder.file("encrypted.key");
    execFileSync("openssl", ["pkcs8", "-topk8", "-in", server.keyFile, "-out", path, "-passout", "pass:x"]);
    expect(problemOf(server.certificateFile, path)).toBe(
      `--key-file ${path}: the key is encrypted, and there is nobody to ask for its passphrase`,
    );
  });

  test("with a broken key are refused", () => {
    const path = written("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    expect(problemOf(server.certificateFile, path)).toStartWith(
      `--key-file ${path}: the private key cannot be read`,
    );
  });
});

describe("a file that cannot be read is named with its flag and the reason:", () => {
  const problem = (path: string): string => {
    try {
      readTlsFile({ flag: "--cacert", path });
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };

  test("none is there", () => {
    expect(problem(folder.file("absent"))).toBe(`--cacert ${folder.file("absent")}: there is no such file`);
    expect(problem(`${server.keyFile}/below`)).toContain("part of the path is no folder");
  });

  test("a folder", () => {
    mkdirSync(folder.file("folder"));
    expect(problem(folder.file("folder"))).toBe(
      `--cacert ${folder.file("folder")}: this is a folder, not a file`,
    );
  });

  test("a pipe or a device", () => {
    execFileSync("mkfifo", [folder.file("pipe")]);
    expect(problem(folder.file("pipe"))).toContain("no regular file");
    expect(problem("/dev/zero")).toContain("no regular file");
  });

  test("one that this user may not read", () => {
    const path = written("secret", "x");
    chmodSync(path, 0);
    expect(asNobody(() => problem(path))).toBe(`--cacert ${path}: this user may not read it`);
  });
});

test("the CommonName is that of the leaf's subject", async () => {
  const named = await authority.client("named", { commonName: "alice, of A=B" });
  const [leaf] = loadCertificates({ flag: "--cert", path: named.certificateFile });
  expect(commonName(leaf)).toBe("alice, of A=B");
  const [nameless] = loadCertificates({ flag: "--cert", path: server.certificateFile });
  expect(commonName(nameless)).toBe("");
});

test("a CommonName beside another attribute is one, too", () => {
  const path = folder.file("several.crt");
  const subject = ["-multivalue-rdn", "-subj", "/O=s+CN=alice/OU=t"];
  execFileSync("openssl", ["req", "-x509", "-key", server.keyFile, "-out", path, ...subject]);
  const [leaf] = loadCertificates({ flag: "--cert", path });
  expect(leaf.subject).toContain("O=s + CN=alice");
  expect(commonName(leaf)).toBe("alice");
});

test("a certificate is told to be over, or not valid yet", () => {
  const [leaf] = loadCertificates({ flag: "--cert", path: server.certificateFile });
  const dayMs = 24 * 60 * 60 * 1000;
  expect(validityProblem(leaf, Date.now())).toBe("");
  expect(validityProblem(leaf, Date.now() + dayMs)).toStartWith("the certificate has expired on ");
  expect(validityProblem(leaf, Date.now() - dayMs)).toStartWith("the certificate is not valid before ");
});
