/**
 * What the proxy serves TLS with: its certificate, and whom it lets in.
 *
 * Stands between the files that the flags name and the listeners. Whatever is wrong with a file is found before it is
 * used; what is in use is always whole: a certificate with its key, the authorities with the revocations among them.
 */
import type { X509Certificate } from "node:crypto";
import { type ListenerTls, type TlsCredentials, type TlsVersion, tryListenerContext } from "../net/tls.ts";
import type { Logger } from "../observe/log.ts";
import {
  expiryMs,
  type KeyPair,
  loadCertificates,
  loadKeyPair,
  toPem,
  validityProblem,
} from "./certificates.ts";
import type { Expiry } from "./expiry.ts";
import { loadRevocationList, type RevocationList } from "./revocation-list.ts";
import type { Renewable } from "./renewal.ts";
import { ensureSelfSigned, selfSignedFiles, type SelfSignedOptions } from "./self-signed.ts";
import { filesState, type TlsFile, TlsFileError } from "./tls-file.ts";

export interface ServedTlsOptions {
  /** Where the certificate comes from: files, or the proxy itself. */
  readonly source:
    { readonly certificate: TlsFile; readonly key: TlsFile } | { readonly selfSigned: SelfSignedOptions };
  /** Clients must show a certificate of one of these authorities; null: clients show none. */
  readonly trustedCa: TlsFile | null;
  /** Certificates that are let in no more; only with `trustedCa`. */
  readonly revocationList: TlsFile | null;
  readonly versionMin: TlsVersion;
  readonly versionMax: TlsVersion;
  readonly cipherList: string | null;
  /** False: somebody else in this process makes the proxy's own certificate, and renews it. True when absent. */
  readonly maintained?: boolean;
  readonly log: Logger;
}

interface Loaded {
  readonly credentials: TlsCredentials;
  readonly pair: KeyPair;
  readonly authorities: readonly X509Certificate[];
  readonly revocations: RevocationList | null;
}

/** How long to wait before a generated certificate that could not be renewed is tried again. */
const RETRY_MS = 60_000;
const DAY_MS = 24 * 60 * 60 * 1000;

export class ServedTls implements ListenerTls, Renewable {
  readonly versionMin: TlsVersion;
  readonly versionMax: TlsVersion;
  readonly cipherList: string | null;
  readonly files: readonly TlsFile[];
  readState: string;
  readonly #options: ServedTlsOptions;
  readonly #watchers: (() => void)[] = [];
  #loaded: Loaded;
  #maintainAtMs = 0;

  private constructor(options: ServedTlsOptions) {
    this.#options = options;
    this.versionMin = options.versionMin;
    this.versionMax = options.versionMax;
    this.cipherList = options.cipherList;
    const { certificate, key } = filesOf(options);
    this.files = [certificate, key, options.trustedCa, options.revocationList].filter(
      (file) => file !== null,
    );
    this.readState = filesState(this.files);
    this.#loaded = read(options);
  }

  /** Reads the files, or makes the certificate. @throws TlsFileError */
  static async load(options: ServedTlsOptions): Promise<ServedTls> {
    if ("selfSigned" in options.source && options.maintained !== false)
      await ensureSelfSigned(options.source.selfSigned, Date.now());
    return new ServedTls(options);
  }

  get credentials(): TlsCredentials {
    return this.#loaded.credentials;
  }

  watch(renewed: () => void): void {
    this.#watchers.push(renewed);
  }

  refusalOf(shown: Iterable<X509Certificate>): string {
    const { revocations } = this.#loaded;
    if (revocations === null) return "";
    let place = "the certificate";
    for (const certificate of shown) {
      if (revocations.has(certificate)) return `${place} is revoked`;
      place = "an authority of the certificate";
    }
    return "";
  }

  async load(): Promise<void> {
    const state = filesState(this.files);
    this.#loaded = read(this.#options);
    this.readState = state;
    for (const renewed of this.#watchers) renewed();
  }

  /** A generated certificate is made anew a day before it ends; the change is then seen as any. */
  async maintain(): Promise<void> {
    const { source } = this.#options;
    const nowMs = Date.now();
    if (!("selfSigned" in source) || this.#options.maintained === false) return;
    if (nowMs < this.#maintainAtMs) return;
    const endsMs = expiryMs(this.#loaded.pair.leaf);
    this.#maintainAtMs =
      nowMs < endsMs - DAY_MS ? Math.min(endsMs - DAY_MS, nowMs + DAY_MS) : nowMs + RETRY_MS;
    await ensureSelfSigned(source.selfSigned, nowMs);
  }

  /** When what is in use ends. */
  *expiries(): Iterable<Expiry> {
    const { pair, authorities, revocations } = this.#loaded;
    const { certificate } = filesOf(this.#options);
    yield { flag: certificate.flag, atMs: expiryMs(pair.leaf) };
    if (this.#options.trustedCa !== null)
      yield { flag: this.#options.trustedCa.flag, atMs: Math.min(...authorities.map(expiryMs)) };
    if (this.#options.revocationList !== null && typeof revocations?.nextUpdateMs === "number")
      yield { flag: this.#options.revocationList.flag, atMs: revocations.nextUpdateMs };
  }
}

function filesOf({ source }: ServedTlsOptions): { certificate: TlsFile; key: TlsFile } {
  return "selfSigned" in source ? selfSignedFiles(source.selfSigned.folder) : source;
}

function read(options: ServedTlsOptions): Loaded {
  const { trustedCa, revocationList, log } = options;
  const files = filesOf(options);
  const pair = loadKeyPair(files.certificate, files.key);
  const given = trustedCa === null ? [] : loadCertificates(trustedCa);
  const revocations = revocationList === null ? null : loadRevocationList(revocationList, given);
  const authorities = given.filter((authority) => revocations?.has(authority) !== true);
  if (trustedCa !== null && authorities.length === 0)
    throw new TlsFileError(
      trustedCa,
      `all its authorities are revoked by ${revocationList?.flag} ${revocationList?.path}`,
    );
  const credentials = {
    certificate: pair.certificate,
    key: pair.key,
    trustedCa: trustedCa === null ? null : toPem(authorities),
  };
  try {
    tryListenerContext({ credentials, cipherList: options.cipherList });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TlsFileError(files.certificate, `the TLS library does not take it (${reason})`);
  }
  const problem = validityProblem(pair.leaf, Date.now());
  if (problem !== "") log.warn(`${files.certificate.flag} ${files.certificate.path}: ${problem}`);
  warnOfRevocations(revocationList, revocations, log);
  return { credentials, pair, authorities, revocations };
}

function warnOfRevocations(file: TlsFile | null, list: RevocationList | null, log: Logger): void {
  if (file === null || list === null) return;
  for (const why of list.unchecked)
    log.warn(`${file.flag} ${file.path}: ${why}: its signature is not checked`);
  if (list.nextUpdateMs !== null && list.nextUpdateMs < Date.now()) {
    const since = new Date(list.nextUpdateMs).toISOString();
    log.warn(
      `${file.flag} ${file.path}: the list is out of date since ${since}: what was revoked later is let in`,
    );
  }
}
