/**
 * Certificates for tests: authorities, servers, clients and revocation lists, made when a test needs them and gone
 * with its folder. None is committed, so none expires while nobody looks.
 *
 * Everything is in memory and in a file, as PEM: a test gives the file to a process, and the text to a library or
 * writes it over another file to renew that. An elliptic key makes a certificate in a few milliseconds.
 */
// What @peculiar/x509 stands on wants it first.
// oxlint-disable-next-line import/no-unassigned-import
import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
  X509CrlReason,
  type X509Certificate,
} from "@peculiar/x509";
import type { TemporaryFolder } from "./temporary-folder.ts";

const HOUR_MS = 3_600_000;
const CRL_NUMBER = "2.5.29.20";

export type KeyType = "ecdsa" | "rsa";

export interface CertificateOptions {
  /** DNS names and IP addresses that it is good for. */
  readonly names?: readonly string[];
  /** CommonName of the subject, which etcd takes for a user when it comes from a client; none by default. */
  readonly commonName?: string;
  readonly keyType?: KeyType;
  /** An hour ago by default. */
  readonly notBefore?: Date;
  /** In an hour by default. */
  readonly notAfter?: Date;
}

/** A certificate that an authority made. */
export interface IssuedCertificate {
  /** PEM file of the certificate and, from the second on, those of the authorities between it and the root. */
  readonly certificateFile: string;
  /** PEM file of the private key, in PKCS #8. */
  readonly keyFile: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Hexadecimal. */
  readonly serialNumber: string;
  readonly notAfter: Date;
}

/** What a client needs to speak TLS. */
export interface ClientTls {
  /** PEM file of the authorities that it trusts. */
  readonly caFile: string;
  /** What it shows of itself; nothing by default. */
  readonly certificate?: IssuedCertificate;
}

/** A time outside of which nothing is valid: it ended an hour ago. */
export const EXPIRED = { notBefore: hoursFromNow(-3), notAfter: hoursFromNow(-1) };
/** A time that begins in an hour. */
export const NOT_YET_VALID = { notBefore: hoursFromNow(1), notAfter: hoursFromNow(3) };

/** Where servers of tests listen. */
export const LOOPBACK_NAMES: readonly string[] = ["localhost", "127.0.0.1"];

/** @param hours negative for the past. */
export function hoursFromNow(hours: number): Date {
  return new Date(Date.now() + hours * HOUR_MS);
}

const GENERATION: Readonly<Record<KeyType, webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams>> = {
  ecdsa: { name: "ECDSA", namedCurve: "P-256" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
};
const SIGNING: Readonly<Record<KeyType, webcrypto.EcdsaParams | webcrypto.Algorithm>> = {
  ecdsa: { name: "ECDSA", hash: "SHA-256" },
  rsa: { name: "RSASSA-PKCS1-v1_5" },
};

function generateKeys(type: KeyType): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(GENERATION[type], true, ["sign", "verify"]);
}

/** `der` in the text form that `label` names. */
function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Sixteen random bytes that are a positive number as they stand. */
function newSerialNumber(): string {
  const bytes = crypto.getRandomValues(Buffer.alloc(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString("hex");
}

interface AuthorityParts {
  readonly folder: TemporaryFolder;
  readonly name: string;
  readonly keys: CryptoKeyPair;
  readonly keyType: KeyType;
  readonly certificate: X509Certificate;
  /** PEM of the authorities between this one, itself included, and the root, which is excluded. */
  readonly chainPem: string;
}

/** An authority that signs. */
export class CertificateAuthority {
  /** PEM file of its own certificate. */
  readonly file: string;
  readonly certificatePem: string;
  readonly #parts: AuthorityParts;
  #revocationLists = 0;

  private constructor(parts: AuthorityParts) {
    this.#parts = parts;
    this.certificatePem = pem("CERTIFICATE", parts.certificate.rawData);
    this.file = parts.folder.file(`${parts.name}.crt`);
    writeFileSync(this.file, this.certificatePem);
  }

  /**
   * Makes one that nobody stands above.
   *
   * @param folder where it writes files, its own and those of what it issues.
   * @param name names its files and stands in its subject.
   */
  static async create(
    folder: TemporaryFolder,
    name: string,
    options: Pick<CertificateOptions, "keyType" | "notBefore" | "notAfter"> = {},
  ): Promise<CertificateAuthority> {
    const keyType = options.keyType ?? "ecdsa";
    const keys = await generateKeys(keyType);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: newSerialNumber(),
      name: [{ CN: [name] }],
      keys,
      signingAlgorithm: SIGNING[keyType],
      ...validity(options),
      extensions: await authorityExtensions(keys),
    });
    return new CertificateAuthority({ folder, name, keys, keyType, certificate, chainPem: "" });
  }

  /** Makes one below this. What it issues carries its certificate along. */
  async intermediate(
    name: string,
    options: Pick<CertificateOptions, "keyType" | "notBefore" | "notAfter"> = {},
  ): Promise<CertificateAuthority> {
    const { folder, chainPem } = this.#parts;
    const keyType = options.keyType ?? "ecdsa";
    const keys = await generateKeys(keyType);
    const certificate = await this.#sign(keys, [{ CN: [name] }], options, await authorityExtensions(keys));
    const ownPem = pem("CERTIFICATE", certificate.rawData);
    return new CertificateAuthority({
      folder,
      name,
      keys,
      keyType,
      certificate,
      chainPem: ownPem + chainPem,
    });
  }

  /** Hexadecimal; of its own certificate. */
  get serialNumber(): string {
    return this.#parts.certificate.serialNumber;
  }

  /**
   * Makes a certificate for a server: by default for loopback. A client may show it as well, as etcd does when
   * its JSON gateway calls the server that it is part of.
   */
  server(name: string, options: CertificateOptions = {}): Promise<IssuedCertificate> {
    const usages = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
    return this.#issue(name, { names: LOOPBACK_NAMES, ...options }, usages);
  }

  /** Makes a certificate for a client. */
  client(name: string, options: CertificateOptions = {}): Promise<IssuedCertificate> {
    return this.#issue(name, options, [ExtendedKeyUsage.clientAuth]);
  }

  /**
   * Writes a list of what this authority has revoked, and gives its file.
   *
   * @param nextUpdate when the list is too old to be trusted; in an hour by default.
   */
  async revocationList(
    name: string,
    revoked: readonly Pick<IssuedCertificate, "serialNumber">[],
    { form = "pem", nextUpdate = hoursFromNow(1) }: { form?: "pem" | "der"; nextUpdate?: Date } = {},
  ): Promise<string> {
    const { folder, certificate, keys, keyType } = this.#parts;
    this.#revocationLists++;
    const list = await X509CrlGenerator.create({
      issuer: certificate.subjectName.toJSON(),
      thisUpdate: hoursFromNow(-1),
      nextUpdate,
      signingAlgorithm: SIGNING[keyType],
      signingKey: keys.privateKey,
      extensions: [
        await AuthorityKeyIdentifierExtension.create(keys.publicKey),
        new Extension(CRL_NUMBER, false, new Uint8Array([2, 1, this.#revocationLists])),
      ],
      entries: revoked.map(({ serialNumber }) => ({
        serialNumber,
        revocationDate: hoursFromNow(-1),
        reason: X509CrlReason.keyCompromise,
      })),
    });
    const file = folder.file(`${name}.crl`);
    writeFileSync(file, form === "pem" ? pem("X509 CRL", list.rawData) : new Uint8Array(list.rawData));
    return file;
  }

  async #issue(
    name: string,
    options: CertificateOptions,
    usages: readonly ExtendedKeyUsage[],
  ): Promise<IssuedCertificate> {
    const { folder, chainPem } = this.#parts;
    const keys = await generateKeys(options.keyType ?? "ecdsa");
    const subject = options.commonName === undefined ? [{ O: [name] }] : [{ CN: [options.commonName] }];
    const certificate = await this.#sign(keys, subject, options, [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
      new ExtendedKeyUsageExtension([...usages]),
      ...alternativeNames(options.names ?? []),
    ]);
    const certificatePem = pem("CERTIFICATE", certificate.rawData) + chainPem;
    const keyPem = pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey));
    const certificateFile = folder.file(`${name}.crt`);
    const keyFile = folder.file(`${name}.key`);
    writeFileSync(certificateFile, certificatePem);
    writeFileSync(keyFile, keyPem, { mode: 0o600 });
    const { serialNumber, notAfter } = certificate;
    return { certificateFile, keyFile, certificatePem, keyPem, serialNumber, notAfter };
  }

  async #sign(
    keys: CryptoKeyPair,
    subject: Record<string, string[]>[],
    options: CertificateOptions,
    extensions: readonly Extension[],
  ): Promise<X509Certificate> {
    const authority = this.#parts;
    return X509CertificateGenerator.create({
      serialNumber: newSerialNumber(),
      subject,
      issuer: authority.certificate.subjectName.toJSON(),
      publicKey: keys.publicKey,
      signingKey: authority.keys.privateKey,
      signingAlgorithm: SIGNING[authority.keyType],
      ...validity(options),
      extensions: [...extensions, await AuthorityKeyIdentifierExtension.create(authority.keys.publicKey)],
    });
  }
}

function validity({ notBefore, notAfter }: CertificateOptions): { notBefore: Date; notAfter: Date } {
  return { notBefore: notBefore ?? hoursFromNow(-1), notAfter: notAfter ?? hoursFromNow(1) };
}

async function authorityExtensions(keys: CryptoKeyPair): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
}

function alternativeNames(names: readonly string[]): Extension[] {
  if (names.length === 0) return [];
  const entries = names.map((value) => ({
    type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
    value,
  }));
  return [new SubjectAlternativeNameExtension(entries)];
}

/** The file of several authorities at once, in PEM. */
export function authorityBundle(
  folder: TemporaryFolder,
  name: string,
  authorities: readonly CertificateAuthority[],
): string {
  const file = folder.file(`${name}.crt`);
  writeFileSync(file, authorities.map(({ certificatePem }) => certificatePem).join(""));
  return file;
}
