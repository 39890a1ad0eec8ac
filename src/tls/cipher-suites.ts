/**
 * Cipher suites and versions as operators of Go programs name them.
 *
 * Stands between the flags' words and the TLS library's. Which TLS 1.3 suites there are is the library's choice, as it is
 * Go's: their names are known and have no effect.
 */
import { createSecureContext } from "node:tls";
import type { TlsVersion } from "../net/tls.ts";

const VERSIONS: Readonly<Record<string, TlsVersion>> = { "TLS1.2": "TLSv1.2", "TLS1.3": "TLSv1.3" };

/** The version with a flag's name for it; undefined for any other text. */
export function tlsVersion(text: string): TlsVersion | undefined {
  return Object.hasOwn(VERSIONS, text) ? VERSIONS[text] : undefined;
}

/** IANA's names, and Go's two without a digest, with OpenSSL's; null for those of TLS 1.3. */
const SUITES: Readonly<Record<string, string | null>> = {
  TLS_AES_128_GCM_SHA256: null,
  TLS_AES_256_GCM_SHA384: null,
  TLS_CHACHA20_POLY1305_SHA256: null,
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA: "ECDHE-RSA-DES-CBC3-SHA",
  TLS_ECDHE_ECDSA_WITH_RC4_128_SHA: "ECDHE-ECDSA-RC4-SHA",
  TLS_ECDHE_RSA_WITH_RC4_128_SHA: "ECDHE-RSA-RC4-SHA",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
  TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
  TLS_RSA_WITH_3DES_EDE_CBC_SHA: "DES-CBC3-SHA",
  TLS_RSA_WITH_RC4_128_SHA: "RC4-SHA",
};

/** A suite's name is wrong, or this program cannot serve it: the message names it. */
export class CipherSuiteError extends Error {
  override readonly name = "CipherSuiteError";
}

/**
 * The library's list for suites under their IANA names, in the order given; null when only suites of TLS 1.3 are named.
 *
 * @throws CipherSuiteError
 */
export function cipherList(suites: readonly string[]): string | null {
  const names: string[] = [];
  for (const suite of suites) {
    if (!Object.hasOwn(SUITES, suite))
      throw new CipherSuiteError(`${suite} is no cipher suite that is known here: such as ${EXAMPLE}`);
    const name = SUITES[suite];
    if (name === null || name === undefined || names.includes(name)) continue;
    if (!isSupported(name))
      throw new CipherSuiteError(
        `${suite} is too weak or too old to be in this program's TLS library: leave it out`,
      );
    names.push(name);
  }
  return names.length === 0 ? null : names.join(":");
}

const EXAMPLE = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";

function isSupported(name: string): boolean {
  try {
    createSecureContext({ ciphers: name });
    return true;
  } catch {
    return false;
  }
}
