/**
 * Certificates and keys out of PEM files, checked before anything is served with them.
 *
 * Stands between the files and the TLS library, whose own errors name neither flag nor file.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readTlsFile, type TlsFile, TlsFileError } from "./tls-file.ts";

/** A certificate chain with the private key of its first certificate. */
export interface KeyPair {
  /** PEM, the leaf first. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  readonly leaf: X509Certificate;
}

const CERTIFICATE_BLOCK =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** @throws TlsFileError unless both can be read and belong together */
export function loadKeyPair(certificateFile: TlsFile, keyFile: TlsFile): KeyPair {
  const [leaf, ...chain] = loadCertificates(certificateFile);
  const key = loadPrivateKey(keyFile);
  if (!leaf.checkPrivateKey(key)) {
    const { flag, path } = certificateFile;
    throw new TlsFileError(keyFile, `this is not the private key of the certificate in ${flag} ${path}`);
  }
  return {
    certificate: toPem([leaf, ...chain]),
    key: key.export({ type: "pkcs8", format: "pem" }),
    leaf,
  };
}

/** All certificates in the file, at least one. @throws TlsFileError */
export function loadCertificates(file: TlsFile): [X509Certificate, ...X509Certificate[]] {
  const text = readTlsFile(file).toString("latin1");
  const blocks = text.match(CERTIFICATE_BLOCK) ?? [];
  const certificates = blocks.map((block, index) => parseCertificate(file, block, index));
  const [first, ...rest] = certificates;
  if (first !== undefined) return [first, ...rest];
  if (text.includes("PRIVATE KEY-----"))
    throw new TlsFileError(file, "this holds a private key where a certificate is wanted");
  throw new TlsFileError(file, "this holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
}

/** PEM as the TLS library takes it. */
export function toPem(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString().trimEnd()).join("\n") + "\n";
}

/** When the certificate ends, in milliseconds since 1970. */
export function expiryMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** The CommonName of its subject, the first of several; "" where there is none. */
export function commonName(certificate: X509Certificate): string {
  // Not out of the text of `subject`, which may have several attributes on a line.
  const names: string | string[] | undefined = certificate.toLegacyObject().subject?.CN;
  return (Array.isArray(names) ? names[0] : names) ?? "";
}

/** What speaks against using the certificate today; "" when nothing does. */
export function validityProblem(certificate: X509Certificate, nowMs: number): string {
  if (nowMs > expiryMs(certificate)) return `the certificate has expired on ${certificate.validTo}`;
  if (nowMs < Date.parse(certificate.validFrom))
    return `the certificate is not valid before ${certificate.validFrom}`;
  return "";
}

function parseCertificate(file: TlsFile, block: string, index: number): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (error) {
    throw new TlsFileError(file, `certificate ${index + 1} cannot be read (${reasonIn(error)})`);
  }
}

function loadPrivateKey(file: TlsFile): KeyObject {
  const text = readTlsFile(file).toString("latin1");
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type:.*ENCRYPTED/m.test(text))
    throw new TlsFileError(file, "the key is encrypted, and there is nobody to ask for its passphrase");
  if (!text.includes("PRIVATE KEY-----")) {
    const holds = text.includes("CERTIFICATE-----") ? "this holds a certificate" : "this holds none";
    throw new TlsFileError(file, `${holds} where a private key in PEM form is wanted`);
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new TlsFileError(file, `the private key cannot be read (${reasonIn(error)})`);
  }
}

/** The TLS library's own words, without their numbers. */
function reasonIn(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /OPENSSL_internal:([A-Z0-9_]+)/.exec(message)?.[1] ?? message;
}
