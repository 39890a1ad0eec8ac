/**
 * What the proxy shows to members over TLS, and what it demands of them.
 *
 * Stands between the files that the flags name and the dials. A certificate with a CommonName is never shown: while auth
 * is on, etcd takes a call without a token for one of the user with that name, so every client would be that user.
 */
import type { X509Certificate } from "node:crypto";
import {
  createDialContext,
  type DialTls,
  dialTls,
  type SecureContext,
  systemCertificates,
} from "../net/tls.ts";
import type { Logger } from "../observe/log.ts";
import {
  commonName,
  expiryMs,
  type KeyPair,
  loadCertificates,
  loadKeyPair,
  toPem,
  validityProblem,
} from "./certificates.ts";
import type { Expiry } from "./expiry.ts";
import type { Renewable } from "./renewal.ts";
import { filesState, type TlsFile, TlsFileError } from "./tls-file.ts";

export interface MemberTlsOptions {
  /** Null: no certificate is shown. */
  readonly pair: { readonly certificate: TlsFile; readonly key: TlsFile } | null;
  /** Null: what this machine trusts. */
  readonly trustedCa: TlsFile | null;
  /** False: any certificate of a member will do. */
  readonly verify: boolean;
  readonly log: Logger;
}

interface Loaded {
  readonly pair: KeyPair | null;
  readonly authorities: readonly X509Certificate[] | null;
  readonly context: SecureContext;
}

/** The same for a request of `node:https`. */
export interface MemberRequestTls {
  readonly cert?: string;
  readonly key?: string;
  readonly ca: string | string[];
  readonly rejectUnauthorized: boolean;
}

export class MemberTls implements Renewable {
  readonly files: readonly TlsFile[];
  readState: string;
  readonly #options: MemberTlsOptions;
  #loaded: Loaded;

  private constructor(options: MemberTlsOptions) {
    this.#options = options;
    const { pair, trustedCa } = options;
    this.files = [pair?.certificate, pair?.key, trustedCa].filter(
      (file) => file !== undefined && file !== null,
    );
    this.readState = filesState(this.files);
    this.#loaded = read(options);
  }

  /** Reads the files. @throws TlsFileError */
  static load(options: MemberTlsOptions): MemberTls {
    return new MemberTls(options);
  }

  /** For a dial to a member under this name or address. */
  forDial(hostname: string): DialTls {
    return dialTls(this.#loaded.context, hostname, this.#options.verify);
  }

  forRequest(): MemberRequestTls {
    const { pair, authorities } = this.#loaded;
    return {
      ...(pair === null ? {} : { cert: pair.certificate, key: pair.key }),
      ca: authorities === null ? systemCertificates() : toPem(authorities),
      rejectUnauthorized: this.#options.verify,
    };
  }

  async load(): Promise<void> {
    const state = filesState(this.files);
    this.#loaded = read(this.#options);
    this.readState = state;
  }

  /** When what is in use ends. */
  *expiries(): Iterable<Expiry> {
    const { pair, trustedCa } = this.#options;
    const loaded = this.#loaded;
    if (pair !== null && loaded.pair !== null)
      yield { flag: pair.certificate.flag, atMs: expiryMs(loaded.pair.leaf) };
    if (trustedCa !== null && loaded.authorities !== null)
      yield { flag: trustedCa.flag, atMs: Math.min(...loaded.authorities.map(expiryMs)) };
  }
}

function read({ pair: files, trustedCa, log }: MemberTlsOptions): Loaded {
  const pair = files === null ? null : loadKeyPair(files.certificate, files.key);
  if (files !== null && pair !== null) {
    refuseCommonName(files.certificate, pair.leaf);
    const problem = validityProblem(pair.leaf, Date.now());
    if (problem !== "") log.warn(`${files.certificate.flag} ${files.certificate.path}: ${problem}`);
  }
  const authorities = trustedCa === null ? null : loadCertificates(trustedCa);
  const context = createDialContext({
    certificate: pair?.certificate ?? null,
    key: pair?.key ?? null,
    trustedCa: authorities === null ? null : toPem(authorities),
  });
  return { pair, authorities, context };
}

function refuseCommonName(file: TlsFile, leaf: X509Certificate): void {
  const name = commonName(leaf);
  if (name === "") return;
  throw new TlsFileError(
    file,
    `the certificate has the CommonName ${JSON.stringify(name)}: while auth is on, members would take every client of the proxy ` +
      "for the user of that name; use a certificate without a CommonName",
  );
}
