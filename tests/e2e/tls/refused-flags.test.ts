/** TLS flags that cannot be served with: each ends the start with one line that names the flag and the file. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CertificateAuthority, type IssuedCertificate } from "../../harness/certificates.ts";
import { ensureBuilt, runEtcdproxy } from "../../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { shownToClients, shownToMembers } from "./secure-member.ts";

const folder = new TemporaryFolder("refusedtls");
let authority: CertificateAuthority;
let server: IssuedCertificate;
let client: IssuedCertificate;
let other: IssuedCertificate;
beforeAll(async () => {
  authority = await CertificateAuthority.create(folder, "authority");
  [server, client, other] = await Promise.all([
    authority.server("server"),
    authority.client("client"),
    authority.client("other"),
  ]);
  await Bun.write(folder.file("empty.pem"), "");
  await Bun.write(folder.file("garbage.pem"), "this is no certificate\n");
  await Bun.write(
    folder.file("torn.pem"),
    `${server.certificatePem.slice(0, 200)}\n-----END CERTIFICATE-----\n`,
  );
  mkdirSync(folder.file("folder.pem"));
  await ensureBuilt();
}, 60_000);
afterAll(() => folder[Symbol.dispose]());

/** The one line with which a start with these flags ends. */
async function refusal(...flags: readonly string[]): Promise<string> {
  const start = ["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1"];
  const { code, stdout, stderr } = await runEtcdproxy([...start, ...flags]);
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^[^\n]+\n$/),
  });
  return stderr.trimEnd();
}

/** Every file flag, with the flags that it needs beside it. */
const FILE_FLAGS = ["cert", "key", "cacert", "cert-file", "key-file", "trusted-ca-file", "client-crl-file"];

/** All file flags as they should be, but `flag`, which gets `path`. */
function withBad(flag: string, path: string): string[] {
  const good = [
    ...shownToMembers(client),
    `--cacert=${authority.file}`,
    ...shownToClients(server),
    `--trusted-ca-file=${authority.file}`,
  ];
  const kept = good.filter((given) => !given.startsWith(`--${flag}=`));
  return [...kept, `--${flag}=${path}`];
}

describe.each(FILE_FLAGS)("--%s", (flag) => {
  test.each([
    ["a file that is not there", "missing.pem"],
    ["a folder", "folder.pem"],
    ["an empty file", "empty.pem"],
    ["a file of something else", "garbage.pem"],
    ["a torn file", "torn.pem"],
  ])("with %s is refused", async (_what, name) => {
    const line = await refusal(...withBad(flag, folder.file(name)));
    expect(line).toMatch(new RegExp(`--${flag}\\b(?!-)`));
    expect(line).toContain(folder.file(name));
  });

  test("with a path below a file is refused", async () => {
    const path = join(authority.file, "below.pem");
    expect(await refusal(...withBad(flag, path))).toContain(path);
  });
});

describe("a key of another certificate", () => {
  test("is refused towards members", async () => {
    const line = await refusal(`--cert=${client.certificateFile}`, `--key=${other.keyFile}`);
    expect(line).toContain("--key");
    expect(line).toContain(other.keyFile);
  });

  test("is refused towards clients", async () => {
    const line = await refusal(`--cert-file=${server.certificateFile}`, `--key-file=${other.keyFile}`);
    expect(line).toContain("--key-file");
    expect(line).toContain(other.keyFile);
  });
});

describe("files in each other's place", () => {
  test("a key where a certificate belongs is refused", async () => {
    const line = await refusal(`--cert=${client.keyFile}`, `--key=${client.keyFile}`);
    expect(line).toContain("--cert");
    expect(line).toContain(client.keyFile);
  });

  test("a certificate where a key belongs is refused", async () => {
    const line = await refusal(
      `--cert-file=${server.certificateFile}`,
      `--key-file=${server.certificateFile}`,
    );
    expect(line).toContain("--key-file");
    expect(line).toContain(server.certificateFile);
  });

  test("no line shows what a key file holds", async () => {
    const secret = client.keyPem.split("\n")[1]!;
    expect(await refusal(`--cert=${client.keyFile}`, `--key=${client.keyFile}`)).not.toContain(secret);
  });
});

interface Contradiction {
  readonly what: string;
  readonly flags: () => readonly string[];
  readonly names: readonly string[];
}

const contradictions: readonly Contradiction[] = [
  {
    what: "--cert without --key",
    flags: () => [`--cert=${client.certificateFile}`],
    names: ["--cert", "--key"],
  },
  { what: "--key without --cert", flags: () => [`--key=${client.keyFile}`], names: ["--key", "--cert"] },
  {
    what: "--cert-file without --key-file",
    flags: () => [`--cert-file=${server.certificateFile}`],
    names: ["--cert-file", "--key-file"],
  },
  {
    what: "--key-file without --cert-file",
    flags: () => [`--key-file=${server.keyFile}`],
    names: ["--key-file", "--cert-file"],
  },
  {
    what: "--client-crl-file without --trusted-ca-file",
    flags: () => [...shownToClients(server), `--client-crl-file=${authority.file}`],
    names: ["--client-crl-file", "--trusted-ca-file"],
  },
  {
    what: "--trusted-ca-file without a certificate",
    flags: () => [`--trusted-ca-file=${authority.file}`],
    names: ["--trusted-ca-file"],
  },
  {
    what: "--auto-tls with --cert-file",
    flags: () => ["--auto-tls", `--data-dir=${folder.file("data")}`, ...shownToClients(server)],
    names: ["--auto-tls", "--cert-file"],
  },
  {
    what: "--auto-tls for no time",
    flags: () => ["--auto-tls", `--data-dir=${folder.file("data")}`, "--self-signed-cert-validity=0"],
    names: ["--self-signed-cert-validity"],
  },
  {
    what: "--tls-min-version above --tls-max-version",
    flags: () => [...shownToClients(server), "--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
    names: ["--tls-min-version", "--tls-max-version"],
  },
  {
    what: "an unknown --tls-min-version",
    flags: () => [...shownToClients(server), "--tls-min-version=TLS1.1"],
    names: ["--tls-min-version", "TLS1.1"],
  },
  {
    what: "an unknown --tls-max-version",
    flags: () => [...shownToClients(server), "--tls-max-version=1.3"],
    names: ["--tls-max-version", "1.3"],
  },
  {
    what: "an unknown cipher suite",
    flags: () => [...shownToClients(server), "--listen-cipher-suites=TLS_MADE_UP"],
    names: ["--listen-cipher-suites", "TLS_MADE_UP"],
  },
  {
    what: "a cipher suite that the TLS library lacks",
    flags: () => [...shownToClients(server), "--listen-cipher-suites=TLS_RSA_WITH_RC4_128_SHA"],
    names: ["--listen-cipher-suites", "TLS_RSA_WITH_RC4_128_SHA"],
  },
  {
    what: "cipher suites of TLS 1.2 where only 1.3 is spoken",
    flags: () => [
      ...shownToClients(server),
      "--tls-min-version=TLS1.3",
      "--listen-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ],
    names: ["--listen-cipher-suites", "--tls-min-version"],
  },
  {
    what: "--metrics-addr in https without a certificate",
    flags: () => ["--metrics-addr=https://127.0.0.1:0"],
    names: ["--metrics-addr"],
  },
];

describe("contradictions", () => {
  test.each(contradictions)("$what is refused", async ({ flags, names }) => {
    const line = await refusal(...flags());
    for (const name of names) expect(line).toContain(name);
  });
});

test("a data folder that cannot be made is refused", async () => {
  const line = await refusal("--auto-tls", `--data-dir=${join(authority.file, "data")}`);
  expect(line).toContain("--data-dir");
  expect(line).toContain(authority.file);
});
