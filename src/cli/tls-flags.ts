/**
 * The TLS flags of the grpc-proxy: what they say together, and the certificates that they name.
 *
 * Stands between the flags' texts and what serves and dials with TLS. Flags that contradict each other are refused before
 * any file is read; every error names the flag.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Address } from "../net/address.ts";
import type { TlsVersion } from "../net/tls.ts";
import type { Logger } from "../observe/log.ts";
import { cipherList, CipherSuiteError, tlsVersion } from "../tls/cipher-suites.ts";
import { MemberTls } from "../tls/member-tls.ts";
import { selfSignedFiles } from "../tls/self-signed.ts";
import { ServedTls, type ServedTlsOptions } from "../tls/served-tls.ts";
import type { TlsFile } from "../tls/tls-file.ts";
import { usageError } from "./command-line-error.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";

/** The longest validity for which certificates can tell their last day. */
const VALIDITY_YEARS_MAX = 7000;

/** Whether an endpoint without a scheme means TLS: a flag about it is given. */
export function membersSpeakTls(flags: GrpcProxyFlags): boolean {
  return flags.cert !== "" || flags.key !== "" || flags.cacert !== "" || flags.insecureSkipTlsVerify;
}

/** What members are shown and checked with. @throws CommandLineError, TlsFileError */
export function loadMemberTls(flags: GrpcProxyFlags, log: Logger): MemberTls {
  const certificate = file("--cert", flags.cert);
  const key = file("--key", flags.key);
  requireBoth(certificate, key, "--cert", "--key");
  if (flags.insecureSkipTlsVerify)
    log.warn(
      "--insecure-skip-tls-verify: members' certificates are not checked, so anybody on the way can pass for a member",
    );
  return MemberTls.load({
    pair: certificate === null || key === null ? null : { certificate, key },
    trustedCa: file("--cacert", flags.cacert),
    verify: !flags.insecureSkipTlsVerify,
    log,
  });
}

/**
 * What becomes of a certificate of the proxy's own: it is made and renewed here, or by somebody else in this process, or only
 * looked at, where there is one.
 */
export type OwnCertificate = "made" | "awaited" | "looked at";

/**
 * What clients are served with at these addresses; undefined for plain text, and where a certificate is only looked at and
 * is still to be made.
 *
 * @throws CommandLineError, TlsFileError
 */
export async function loadServedTls(
  flags: GrpcProxyFlags,
  listening: readonly Address[],
  log: Logger,
  ownCertificate: OwnCertificate = "made",
): Promise<ServedTls | undefined> {
  const source = sourceOf(flags, listening);
  const versions = versionsOf(flags);
  const suites = cipherListOf(flags, versions.versionMin);
  const trustedCa = file("--trusted-ca-file", flags.trustedCaFile);
  const revocationList = file("--client-crl-file", flags.clientCrlFile);
  if (source === undefined) {
    const useless = [trustedCa?.flag, revocationList?.flag].find((flag) => flag !== undefined);
    const needed = "needs --cert-file and --key-file, or --auto-tls: without them clients speak plain text";
    if (useless !== undefined) throw usageError(`${useless} ${needed}`);
    if (flags.listenCipherSuites.length > 0) throw usageError(`--listen-cipher-suites ${needed}`);
    return undefined;
  }
  if (revocationList !== null && trustedCa === null)
    throw usageError("--client-crl-file needs --trusted-ca-file: without it clients show no certificate");
  if (ownCertificate === "looked at" && "selfSigned" in source) {
    const { folder } = source.selfSigned;
    if (!existsSync(selfSignedFiles(folder).certificate.path)) {
      log.info("--auto-tls: the certificate will be made at the start", { folder });
      return undefined;
    }
  }
  return ServedTls.load({
    source,
    trustedCa,
    revocationList,
    ...versions,
    cipherList: suites,
    maintained: ownCertificate === "made",
    log,
  });
}

function sourceOf(
  flags: GrpcProxyFlags,
  listening: readonly Address[],
): ServedTlsOptions["source"] | undefined {
  const certificate = file("--cert-file", flags.certFile);
  const key = file("--key-file", flags.keyFile);
  requireBoth(certificate, key, "--cert-file", "--key-file");
  if (flags.autoTls && certificate !== null)
    throw usageError("--auto-tls contradicts --cert-file: leave one of them out");
  if (certificate !== null && key !== null) return { certificate, key };
  if (!flags.autoTls) return undefined;
  const validityYears = flags.selfSignedCertValidity;
  if (validityYears < 1 || validityYears > VALIDITY_YEARS_MAX)
    throw usageError(
      `--self-signed-cert-validity ${validityYears}: a certificate is valid for 1 to ${VALIDITY_YEARS_MAX} years`,
    );
  const folder = join(flags.dataDir, "fixtures", "proxy");
  return { selfSigned: { folder, validityYears, hostnames: listening.map(({ hostname }) => hostname) } };
}

function versionsOf(flags: GrpcProxyFlags): { versionMin: TlsVersion; versionMax: TlsVersion } {
  const versionMin = tlsVersion(flags.tlsMinVersion) ?? "TLSv1.2";
  const versionMax = tlsVersion(flags.tlsMaxVersion) ?? "TLSv1.3";
  if (versionMin > versionMax)
    throw usageError(
      `--tls-min-version ${flags.tlsMinVersion} is above --tls-max-version ${flags.tlsMaxVersion}: no client could connect`,
    );
  return { versionMin, versionMax };
}

function cipherListOf(flags: GrpcProxyFlags, versionMin: TlsVersion): string | null {
  const suites = flags.listenCipherSuites;
  if (suites.length === 0) return null;
  if (versionMin === "TLSv1.3")
    throw usageError(
      "--listen-cipher-suites contradicts --tls-min-version TLS1.3: the suites of TLS 1.3 cannot be chosen",
    );
  try {
    return cipherList(suites);
  } catch (error) {
    if (error instanceof CipherSuiteError) throw usageError(`--listen-cipher-suites: ${error.message}`);
    throw error;
  }
}

function file(flag: string, path: string): TlsFile | null {
  return path === "" ? null : { flag, path };
}

function requireBoth(
  certificate: TlsFile | null,
  key: TlsFile | null,
  certificateFlag: string,
  keyFlag: string,
): void {
  if (certificate !== null && key === null)
    throw usageError(
      `${certificateFlag} ${certificate.path} needs ${keyFlag}: the private key of the certificate`,
    );
  if (key !== null && certificate === null)
    throw usageError(`${keyFlag} ${key.path} needs ${certificateFlag}: the certificate of the private key`);
}
