import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";
import type { GrpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";
import { loadMemberTls, loadServedTls, membersSpeakTls } from "../../src/cli/tls-flags.ts";
import { createLogger } from "../../src/observe/log.ts";
import { TlsFileError } from "../../src/tls/tls-file.ts";
import { CertificateAuthority, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let authority: CertificateAuthority;
let server: IssuedCertificate;
let client: IssuedCertificate;
const lines: string[] = [];
const log = createLogger({
  level: "info",
  output: "json",
  destination: { write: (line) => void lines.push(line) },
});

beforeAll(async () => {
  folder = new TemporaryFolder("tls-flags");
  authority = await CertificateAuthority.create(folder, "authority");
  server = await authority.server("server");
  client = await authority.client("client");
});
afterAll(() => folder[Symbol.dispose]());

function flagsOf(...words: string[]): GrpcProxyFlags {
  const invocation = parseCommandLine(["grpc-proxy", ...words]);
  if (invocation.command !== "grpc-proxy") throw new Error("not the grpc-proxy");
  return invocation.flags;
}

/** The flags as an operator would write them, with the test's own files put in for CERT, KEY, CA and CLIENT. */
function withFiles(line: string): GrpcProxyFlags {
  const words = line
    .replaceAll("CLIENTKEY", client.keyFile)
    .replaceAll("CLIENT", client.certificateFile)
    .replaceAll("CERT", server.certificateFile)
    .replaceAll("KEY", server.keyFile)
    .replaceAll("CA", authority.file)
    .replaceAll("FOLDER", folder.path);
  return flagsOf(...words.split(" ").filter((word) => word !== ""));
}

const serve = async (line: string) =>
  loadServedTls(withFiles(line), [{ hostname: "127.0.0.1", port: 0 }], log);

async function complaint(work: () => unknown): Promise<string> {
  try {
    await work();
    return "";
  } catch (error) {
    if (error instanceof CommandLineError || error instanceof TlsFileError) return error.message;
    throw error;
  }
}

describe("without TLS flags", () => {
  test("clients are served plain text, and endpoints without a scheme are plain", async () => {
    expect(await serve("")).toBeUndefined();
    expect(membersSpeakTls(flagsOf())).toBe(false);
  });

  test.each(["--cert=a", "--key=a", "--cacert=a", "--insecure-skip-tls-verify"])(
    "but with %s endpoints without a scheme speak TLS",
    (flag) => {
      expect(membersSpeakTls(flagsOf(flag))).toBe(true);
    },
  );
});

describe("towards clients", () => {
  test("a certificate is served, and with an authority clients need one", async () => {
    const open = await serve("--cert-file=CERT --key-file=KEY");
    expect(open?.credentials.trustedCa).toBeNull();
    const checked = await serve("--cert-file=CERT --key-file=KEY --trusted-ca-file=CA");
    expect(checked?.credentials.trustedCa).toContain("BEGIN CERTIFICATE");
  });

  test("versions and suites are as asked for", async () => {
    const tls = await serve(
      "--cert-file=CERT --key-file=KEY --tls-max-version=TLS1.2 --listen-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    );
    expect([tls?.versionMin, tls?.versionMax, tls?.cipherList]).toEqual([
      "TLSv1.2",
      "TLSv1.2",
      "ECDHE-ECDSA-AES128-GCM-SHA256",
    ]);
    const newest = await serve("--cert-file=CERT --key-file=KEY --tls-min-version=TLS1.3");
    expect([newest?.versionMin, newest?.versionMax, newest?.cipherList]).toEqual([
      "TLSv1.3",
      "TLSv1.3",
      null,
    ]);
  });

  test("a certificate of the proxy's own is kept below --data-dir", async () => {
    const tls = await serve("--auto-tls --data-dir=FOLDER/data");
    expect(tls?.files.map(({ path }) => path)).toEqual([
      `${folder.path}/data/fixtures/proxy/cert.pem`,
      `${folder.path}/data/fixtures/proxy/key.pem`,
    ]);
  });

  test.each([
    ["--cert-file=CERT", "--cert-file CERT needs --key-file: the private key of the certificate"],
    ["--key-file=KEY", "--key-file KEY needs --cert-file: the certificate of the private key"],
    [
      "--auto-tls --cert-file=CERT --key-file=KEY",
      "--auto-tls contradicts --cert-file: leave one of them out",
    ],
    [
      "--trusted-ca-file=CA",
      "--trusted-ca-file needs --cert-file and --key-file, or --auto-tls: without them clients speak plain text",
    ],
    [
      "--client-crl-file=CA",
      "--client-crl-file needs --cert-file and --key-file, or --auto-tls: without them clients speak plain text",
    ],
    [
      "--listen-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA",
      "--listen-cipher-suites needs --cert-file and --key-file, or --auto-tls: without them clients speak plain text",
    ],
    [
      "--cert-file=CERT --key-file=KEY --client-crl-file=CA",
      "--client-crl-file needs --trusted-ca-file: without it clients show no certificate",
    ],
    ["--tls-min-version=TLS1.1", '--tls-min-version "TLS1.1" is unknown: use TLS1.2, TLS1.3'],
    ["--tls-max-version=1.3", '--tls-max-version "1.3" is unknown: use TLS1.2, TLS1.3'],
    [
      "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2",
      "--tls-min-version TLS1.3 is above --tls-max-version TLS1.2: no client could connect",
    ],
    [
      "--auto-tls --tls-min-version=TLS1.3 --listen-cipher-suites=TLS_AES_128_GCM_SHA256",
      "--listen-cipher-suites contradicts --tls-min-version TLS1.3: the suites of TLS 1.3 cannot be chosen",
    ],
    [
      "--auto-tls --listen-cipher-suites=TLS_FOO",
      "--listen-cipher-suites: TLS_FOO is no cipher suite that is known here: such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ],
    [
      "--auto-tls --self-signed-cert-validity=0",
      "--self-signed-cert-validity 0: a certificate is valid for 1 to 7000 years",
    ],
    [
      "--cert-file=CERT --key-file=CLIENTKEY",
      "--key-file CLIENTKEY: this is not the private key of the certificate in --cert-file CERT",
    ],
    ["--cert-file=/absent --key-file=KEY", "--cert-file /absent: there is no such file"],
    [
      "--cert-file=CERT --key-file=KEY --trusted-ca-file=KEY",
      "--trusted-ca-file KEY: this holds a private key where a certificate is wanted",
    ],
  ])("%s is refused in one line", async (line, expected) => {
    const told = expected
      .replaceAll("CLIENTKEY", client.keyFile)
      .replaceAll("CERT", server.certificateFile)
      .replaceAll(/ KEY\b/g, ` ${server.keyFile}`);
    expect((await complaint(() => serve(line))).replace(/^etcdproxy: /, "")).toBe(told);
  });
});

describe("towards members", () => {
  const load = (line: string) => loadMemberTls(withFiles(line), log);

  test("a certificate and an authority are read", () => {
    const tls = load("--cert=CLIENT --key=CLIENTKEY --cacert=CA");
    expect(tls.files.map(({ flag }) => flag)).toEqual(["--cert", "--key", "--cacert"]);
    expect(tls.forDial("a").verify).toBe(true);
  });

  test("who takes any certificate is warned", () => {
    lines.length = 0;
    expect(load("--insecure-skip-tls-verify").forDial("a").verify).toBe(false);
    expect(lines.join()).toContain("--insecure-skip-tls-verify: members' certificates are not checked");
  });

  test.each([
    ["--cert=CLIENT", "--cert CLIENT needs --key: the private key of the certificate"],
    ["--key=CLIENTKEY", "--key CLIENTKEY needs --cert: the certificate of the private key"],
    ["--cacert=/", "--cacert /: this is a folder, not a file"],
  ])("%s is refused in one line", async (line, expected) => {
    const told = expected
      .replaceAll("CLIENTKEY", client.keyFile)
      .replaceAll("CLIENT", client.certificateFile);
    expect((await complaint(() => load(line))).replace(/^etcdproxy: /, "")).toBe(told);
  });
});
