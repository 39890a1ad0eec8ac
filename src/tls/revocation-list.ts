/**
 * Certificates that their authority has taken back: a CRL file (RFC 5280 §5), PEM with any number of lists, or DER.
 *
 * Checked here and not by the TLS library: that would want a list of every authority in a client's chain, and refuse all
 * clients of an authority without one, and everybody from the moment a list is out of date.
 */
import { constants, type KeyObject, verify, type X509Certificate } from "node:crypto";
import { commonName } from "./certificates.ts";
import { DerError, derObjectIdentifier, DerReader, DerTag, derTimeMs } from "./der.ts";
import { readTlsFile, type TlsFile, TlsFileError } from "./tls-file.ts";

export interface RevocationList {
  has(certificate: X509Certificate): boolean;
  /** When the first of the lists should be replaced by a newer one, in milliseconds since 1970; null where none says. */
  readonly nextUpdateMs: number | null;
  /** What is to be known about lists whose signature nobody has checked. */
  readonly unchecked: readonly string[];
}

interface ParsedList {
  /** The issuer's name as it is encoded, latin1. */
  readonly issuer: string;
  readonly nextUpdateMs: number | null;
  /** Content octets of the numbers, latin1. */
  readonly serials: readonly string[];
  readonly signed: Buffer;
  readonly algorithm: DerReader;
  readonly signature: Buffer;
}

const PEM_BLOCK = /-----BEGIN X509 CRL-----([^]*?)-----END X509 CRL-----/g;

/**
 * @param authorities who may have issued it: a list of one of them must have its signature
 * @throws TlsFileError
 */
export function loadRevocationList(file: TlsFile, authorities: readonly X509Certificate[]): RevocationList {
  /** Serial numbers, by their issuer. */
  const revoked = new Map<string, Set<string>>();
  const unchecked: string[] = [];
  let nextUpdateMs: number | null = null;
  for (const list of listsIn(file)) {
    const issuers = authorities.filter((authority) => namesIn(authority).subject === list.issuer);
    const issuer = issuers[0];
    if (issuer === undefined) {
      unchecked.push("a list is of no authority in --trusted-ca-file");
    } else {
      const name = commonName(issuer) || issuer.subject;
      const verdicts = issuers.map(({ publicKey }) => signatureVerdict(list, publicKey));
      if (verdicts.every((verdict) => verdict === "wrong"))
        throw new TlsFileError(
          file,
          `the list of ${name} is not signed by that authority of --trusted-ca-file`,
        );
      if (!verdicts.includes("right"))
        unchecked.push(`the list of ${name} is signed in a way that is not known here`);
    }
    const serials = revoked.get(list.issuer) ?? new Set<string>();
    revoked.set(list.issuer, serials);
    for (const serial of list.serials) serials.add(serial);
    if (list.nextUpdateMs !== null)
      nextUpdateMs = Math.min(list.nextUpdateMs, nextUpdateMs ?? Number.POSITIVE_INFINITY);
  }
  return {
    nextUpdateMs,
    unchecked,
    has(certificate) {
      const { issuer, serial } = namesIn(certificate);
      return revoked.get(issuer)?.has(serial) === true;
    },
  };
}

function listsIn(file: TlsFile): ParsedList[] {
  const bytes = readTlsFile(file);
  const blocks = [...bytes.toString("latin1").matchAll(PEM_BLOCK)].map(([, base64 = ""]) =>
    Buffer.from(base64, "base64"),
  );
  try {
    return (blocks.length === 0 ? [bytes] : blocks).map(parse);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new TlsFileError(file, "this holds no certificate revocation list, neither in PEM form nor in DER");
  }
}

/** RFC 5280 §5.1. */
function parse(der: Buffer): ParsedList {
  const outer = new DerReader(der).sequence();
  const signed = outer.next(DerTag.SEQUENCE);
  const algorithm = outer.sequence();
  const signature = outer.next(DerTag.BIT_STRING).content.subarray(1);

  const list = new DerReader(signed.content);
  list.optional(DerTag.INTEGER); // version
  list.next(DerTag.SEQUENCE); // signature algorithm
  const issuer = list.next(DerTag.SEQUENCE).encoded.toString("latin1");
  if (list.optional(DerTag.UTC_TIME, DerTag.GENERALIZED_TIME) === undefined)
    throw new DerError("no thisUpdate");
  const nextUpdate = list.optional(DerTag.UTC_TIME, DerTag.GENERALIZED_TIME);
  const serials: string[] = [];
  const entries = list.optional(DerTag.SEQUENCE);
  if (entries !== undefined) {
    const reader = new DerReader(entries.content);
    while (!reader.atEnd) serials.push(reader.sequence().next(DerTag.INTEGER).content.toString("latin1"));
  }
  return {
    issuer,
    nextUpdateMs: nextUpdate === undefined ? null : derTimeMs(nextUpdate),
    serials,
    signed: signed.encoded,
    algorithm,
    signature,
  };
}

/** Names and number of a certificate as they are encoded, latin1 (RFC 5280 §4.1). */
function namesIn(certificate: X509Certificate): { issuer: string; subject: string; serial: string } {
  const fields = new DerReader(certificate.raw).sequence().sequence();
  fields.optional(DerTag.CONTEXT_0); // version
  const serial = fields.next(DerTag.INTEGER).content.toString("latin1");
  fields.next(DerTag.SEQUENCE); // signature algorithm
  const issuer = fields.next(DerTag.SEQUENCE).encoded.toString("latin1");
  fields.next(DerTag.SEQUENCE); // validity
  return { issuer, subject: fields.next(DerTag.SEQUENCE).encoded.toString("latin1"), serial };
}

/** Hashes by the identifiers of signature algorithms (RFC 3279, 4055, 5758, 8410); null: the algorithm has its own. */
const SIGNATURE_HASHES: Readonly<Record<string, string | null>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.3.101.112": null,
};
const RSA_PSS = "1.2.840.113549.1.1.10";
const PSS_HASHES: Readonly<Record<string, string>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

function signatureVerdict(list: ParsedList, publicKey: KeyObject): "right" | "wrong" | "unknown" {
  const { signed, signature } = list;
  const algorithm = list.algorithm.copy();
  const name = derObjectIdentifier(algorithm.next(DerTag.OBJECT_IDENTIFIER));
  try {
    if (name === RSA_PSS) {
      const hash = PSS_HASHES[pssHash(algorithm)];
      if (hash === undefined) return "unknown";
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return verify(hash, signed, { key: publicKey, padding }, signature) ? "right" : "wrong";
    }
    const hash = SIGNATURE_HASHES[name];
    if (hash === undefined) return "unknown";
    return verify(hash, signed, publicKey, signature) ? "right" : "wrong";
  } catch {
    return "wrong"; // The key is of another kind than the signature.
  }
}

/** RSASSA-PSS-params (RFC 4055 §3.1): `[0]` holds the hash's AlgorithmIdentifier. */
function pssHash(algorithm: DerReader): string {
  const hash = algorithm.sequence().optional(DerTag.CONTEXT_0);
  if (hash === undefined) return "";
  return derObjectIdentifier(new DerReader(hash.content).sequence().next(DerTag.OBJECT_IDENTIFIER));
}
