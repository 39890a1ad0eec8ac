/**
 * The certificate that the proxy makes for itself (`--auto-tls`): kept in a folder, made anew when it has run out.
 *
 * It keeps the traffic private from those who only listen. Clients cannot check it, so it proves nothing.
 */
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { hostname as machineName } from "node:os";
import { join } from "node:path";
import { isIpLiteral } from "../net/address.ts";
import { expiryMs, loadKeyPair } from "./certificates.ts";
import { type TlsFile, TlsFileError } from "./tls-file.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const YEAR_MS = 365 * 24 * 60 * 60 * 1000;
/** It is made anew so long before it ends that no client ever meets one that has ended. */
const RENEWED_BEFORE_END_MS = 24 * 60 * 60 * 1000;
/** Clocks of clients may be behind ours. */
const VALID_BEFORE_NOW_MS = 60 * 60 * 1000;
/** Certificates hold no later year (RFC 5280 §4.1.2.5). */
const LAST_MS = Date.UTC(9999, 11, 31);

export interface SelfSignedOptions {
  /** Where it is kept, as cert.pem and key.pem. */
  readonly folder: string;
  readonly validityYears: number;
  /** Host names and IP literals that clients may use; "" for every address of this machine. */
  readonly hostnames: readonly string[];
}

export interface SelfSignedFiles {
  readonly certificate: TlsFile;
  readonly key: TlsFile;
}

/** Where it is kept. */
export function selfSignedFiles(folder: string): SelfSignedFiles {
  return {
    certificate: { flag: "--auto-tls", path: join(folder, "cert.pem") },
    key: { flag: "--auto-tls", path: join(folder, "key.pem") },
  };
}

/** Makes the certificate unless there is one that is good for another day. @throws TlsFileError */
export async function ensureSelfSigned(options: SelfSignedOptions, nowMs: number): Promise<"kept" | "made"> {
  const files = selfSignedFiles(options.folder);
  if (isUsable(files, nowMs)) return "kept";
  const { certificate, key } = await makeSelfSigned(options, nowMs);
  try {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    // The key first: a certificate whose key is not there yet would not be usable.
    replaceFile(files.key.path, key, 0o600);
    replaceFile(files.certificate.path, certificate, 0o644);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TlsFileError(
      { flag: "--data-dir", path: options.folder },
      `cannot keep the generated certificate: ${reason}`,
    );
  }
  return "made";
}

function isUsable(files: SelfSignedFiles, nowMs: number): boolean {
  try {
    const { leaf } = loadKeyPair(files.certificate, files.key);
    // One that was made for less than a day is used until it ends.
    const lifeMs = expiryMs(leaf) - Date.parse(leaf.validFrom);
    return nowMs < expiryMs(leaf) - Math.min(RENEWED_BEFORE_END_MS, lifeMs / 10);
  } catch {
    return false;
  }
}

async function makeSelfSigned(
  { hostnames, validityYears }: SelfSignedOptions,
  nowMs: number,
): Promise<{ certificate: string; key: string }> {
  // Loaded here, since most proxies make no certificate; its dependencies look for the polyfill while they are loaded.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const names = [
    ...new Set([...hostnames.filter((name) => name !== ""), "localhost", "127.0.0.1", "::1", machineName()]),
  ];
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "O=etcdproxy",
    notBefore: new Date(nowMs - VALID_BEFORE_NOW_MS),
    notAfter: new Date(Math.min(nowMs + validityYears * YEAR_MS, LAST_MS)),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIpLiteral(value) ? ("ip" as const) : ("dns" as const), value })),
      ),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(pkcs8, x509.PemConverter.PrivateKeyTag)}\n`,
  };
}

/** Nobody ever sees half of it. */
function replaceFile(path: string, text: string, mode: number): void {
  const beside = `${path}.${process.pid}.new`;
  writeFileSync(beside, text, { mode });
  chmodSync(beside, mode);
  renameSync(beside, path);
}
