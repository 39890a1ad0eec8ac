/**
 * Certificates that their authority has taken back: a CRL file (RFC 5280 §5), PEM with any number of lists, or DER.
 *
 * Checked here and not by the TLS library: that would want a list of every authority in a client's chain, and refuse all
 * clients of an authority without one, and everybody from the moment a list is out of date.
 */
import type { X509Certificate } from "node:crypto";
import type { X509Crl } from "@peculiar/x509";
import { readTlsFile, type TlsFile, TlsFileError } from "./tls-file.ts";
import { type X509Library, x509Library } from "./x509.ts";

const PEM_BLOCK = /-----BEGIN X509 CRL-----([^]*?)-----END X509 CRL-----/g;

export interface RevocationList {
  has(certificate: X509Certificate): boolean;
  /** When the first of the lists should be replaced by a newer one, in milliseconds since 1970; null where none says. */
  readonly nextUpdateMs: number | null;
  /** Issuers that are not among the authorities, so that nobody has checked their lists' signatures. */
  readonly unknownIssuers: readonly string[];
}

/**
 * @param authorities who may have issued it: a list of one of them must have its signature
 * @throws TlsFileError
 */
export async function loadRevocationList(
  file: TlsFile,
  authorities: readonly X509Certificate[],
): Promise<RevocationList> {
  const x509 = await x509Library();
  const lists = listsIn(x509, file);
  /** Serial numbers, by their issuer. */
  const revoked = new Map<string, Set<string>>();
  const unknownIssuers: string[] = [];
  let nextUpdateMs: number | null = null;
  for (const list of lists) {
    const issuers = authorities.filter(
      (authority) => nameOf(x509, authority, "subjectName") === derHex(list.issuerName),
    );
    if (issuers.length === 0) unknownIssuers.push(list.issuer);
    else if (!(await isSignedByOneOf(x509, list, issuers)))
      throw new TlsFileError(
        file,
        `the list of ${list.issuer} is not signed by that authority of --trusted-ca-file`,
      );
    const issuer = derHex(list.issuerName);
    const serials = revoked.get(issuer) ?? new Set<string>();
    revoked.set(issuer, serials);
    for (const entry of list.entries) serials.add(canonicalSerial(entry.serialNumber));
    const endsMs = list.nextUpdate?.getTime() ?? null;
    if (endsMs !== null && (nextUpdateMs === null || endsMs < nextUpdateMs)) nextUpdateMs = endsMs;
  }
  return {
    nextUpdateMs,
    unknownIssuers,
    has(certificate) {
      // Every handshake asks. The number is at hand; the issuer's name takes as long as the rest of the handshake.
      const serial = canonicalSerial(certificate.serialNumber);
      for (const [issuer, serials] of revoked)
        if (serials.has(serial) && nameOf(x509, certificate, "issuerName") === issuer) return true;
      return false;
    },
  };
}

function listsIn(x509: X509Library, file: TlsFile): X509Crl[] {
  const bytes = readTlsFile(file);
  const blocks = [...bytes.toString("latin1").matchAll(PEM_BLOCK)].map(([, base64 = ""]) =>
    Buffer.from(base64, "base64"),
  );
  try {
    return (blocks.length === 0 ? [bytes] : blocks).map((der) => new x509.X509Crl(new Uint8Array(der)));
  } catch {
    throw new TlsFileError(file, "this holds no certificate revocation list, neither in PEM form nor in DER");
  }
}

async function isSignedByOneOf(
  x509: X509Library,
  list: X509Crl,
  issuers: readonly X509Certificate[],
): Promise<boolean> {
  for (const issuer of issuers) {
    const { publicKey } = new x509.X509Certificate(new Uint8Array(issuer.raw));
    if (await list.verify({ publicKey })) return true;
  }
  return false;
}

/** The name as its encoding, in hexadecimal: what two certificates must agree on byte by byte. */
function nameOf(
  x509: X509Library,
  certificate: X509Certificate,
  which: "issuerName" | "subjectName",
): string {
  return derHex(new x509.X509Certificate(new Uint8Array(certificate.raw))[which]);
}

function derHex(name: { toArrayBuffer(): ArrayBuffer }): string {
  return Buffer.from(name.toArrayBuffer()).toString("hex");
}

/** Serial numbers come in upper and lower case, with and without leading zeros. */
function canonicalSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, "");
}
