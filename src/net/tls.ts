/**
 * What TLS is to the sockets here: what a listener serves with, what a dial shows and demands, and how the runtime's
 * verdicts read.
 *
 * Stands between those who hold certificates and Bun's sockets; the only place that spells Bun's options for TLS, most of
 * which are not in its types. Everything is PEM text: nothing here reads a file.
 */
import { X509Certificate } from "node:crypto";
import {
  createSecureContext,
  createServer,
  type DetailedPeerCertificate,
  getCACertificates,
  type SecureContextOptions,
} from "node:tls";
import type { Socket, TCPSocketListener } from "bun";
import { isIpLiteral } from "./address.ts";

/** The versions there are; older ones are refused by the TLS library anyway. */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** A certificate chain (leaf first), its private key, and the CAs that a peer is checked with, as PEM. */
export interface TlsCredentials {
  readonly certificate: string;
  readonly key: string;
  /** Null: peers are not checked (listener). */
  readonly trustedCa: string | null;
}

/** What a listener serves TLS with. What it allows stays; its credentials may be renewed. */
export interface ListenerTls {
  readonly versionMin: TlsVersion;
  readonly versionMax: TlsVersion;
  /** TLS 1.2 suites under OpenSSL's names, separated by colons; null: the library's own choice. */
  readonly cipherList: string | null;
  /** What handshakes that begin now are made with. Its `trustedCa` is null always or never. */
  readonly credentials: TlsCredentials;
  /** Has `renewed` called whenever `credentials` have changed. */
  watch(renewed: () => void): void;
  /**
   * Why a client who shows these certificates, his own first and a chain that is good, is refused all the same; "" when
   * he is not. Only who looks at the second one pays for it.
   */
  refusalOf(shown: Iterable<X509Certificate>): string;
}

/** What a dial shows to its peer and demands of it. */
export interface DialTls {
  /** A context of `createDialContext`. */
  readonly context: SecureContext;
  /** The name that the peer's certificate must be for; "" for an IP literal, which is checked itself. */
  readonly serverName: string;
  /** False: any certificate will do. */
  readonly verify: boolean;
}

/** The runtime's own form of credentials; cheap to share between connections. */
export interface SecureContext {
  readonly native: unknown;
}

/** What a handshake's callback is told beside the socket. */
export type HandshakeError = (Error & { readonly code?: string }) | null | undefined;

const HTTP_PROTOCOLS = alpnWire("h2", "http/1.1");
const HTTP2_ONLY = alpnWire("h2");

/** Bun takes versions as numbers where node:tls takes names. */
const VERSION_NUMBERS: Readonly<Record<TlsVersion, number>> = { "TLSv1.2": 0x0303, "TLSv1.3": 0x0304 };

/** Bun's `tls` option of a listener. */
export function listenerOptions(tls: ListenerTls): object {
  const { credentials } = tls;
  return {
    cert: credentials.certificate,
    key: credentials.key,
    ...(credentials.trustedCa === null ? {} : { ca: credentials.trustedCa }),
    requestCert: credentials.trustedCa !== null,
    rejectUnauthorized: credentials.trustedCa !== null,
    minVersion: VERSION_NUMBERS[tls.versionMin],
    maxVersion: VERSION_NUMBERS[tls.versionMax],
    ...(tls.cipherList === null ? {} : { ciphers: tls.cipherList }),
    ALPNProtocols: HTTP_PROTOCOLS,
  };
}

/**
 * Lets a listener begin its next handshakes with the credentials of then; connections that are open live on.
 *
 * Bun's own listener has no call for it, node:tls's server has one, and works on any listener that it holds.
 */
export function followRenewals<Data>(listener: TCPSocketListener<Data>, tls: ListenerTls): void {
  const clientsAreChecked = tls.credentials.trustedCa !== null;
  const holder = createServer({ requestCert: clientsAreChecked, rejectUnauthorized: clientsAreChecked });
  Object.assign(holder, { _handle: listener });
  tls.watch(() => holder.setSecureContext(contextOptions(tls)));
}

/** Throws, with the TLS library's reason, when a listener could not serve with this. */
export function tryListenerContext(tls: Pick<ListenerTls, "credentials" | "cipherList">): void {
  createSecureContext(contextOptions({ ...tls, versionMin: "TLSv1.2", versionMax: "TLSv1.3" }));
}

function contextOptions(
  tls: Pick<ListenerTls, "credentials" | "cipherList" | "versionMin" | "versionMax">,
): SecureContextOptions {
  const { certificate, key, trustedCa } = tls.credentials;
  return {
    cert: certificate,
    key,
    ...(trustedCa === null ? {} : { ca: trustedCa }),
    ...(tls.cipherList === null ? {} : { ciphers: tls.cipherList }),
    minVersion: tls.versionMin,
    maxVersion: tls.versionMax,
  };
}

/** What a dial shows, and what it trusts; both as PEM. */
export interface DialCredentials {
  /** Null: none is shown. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** Null: what this machine trusts. */
  readonly trustedCa: string | null;
}

export const NO_CREDENTIALS: DialCredentials = { certificate: null, key: null, trustedCa: null };

/** @throws Error with the TLS library's reason */
export function createDialContext(credentials: DialCredentials): SecureContext {
  const { certificate, key, trustedCa } = credentials;
  const context = createSecureContext({
    ...(certificate === null || key === null ? {} : { cert: certificate, key }),
    ca: trustedCa ?? systemCertificates(),
    minVersion: "TLSv1.2",
  });
  return { native: context.context };
}

/** The CAs that this machine trusts, as Go programs use them; those that the runtime brings where it names none. */
export function systemCertificates(): string[] {
  const system = getCACertificates("system");
  return system.length > 0 ? system : getCACertificates("default");
}

/** A dial to this name or address; unless `verify`, any certificate will do. */
export function dialTls(context: SecureContext, hostname: string, verify: boolean): DialTls {
  // An address is no server name (RFC 6066 §3). The certificate is checked for the address all the same.
  return { context, serverName: isIpLiteral(hostname) ? "" : hostname, verify };
}

/** Bun's `tls` option of a dial. */
export function dialOptions(tls: DialTls): object {
  return {
    secureContext: tls.context.native,
    serverName: tls.serverName,
    rejectUnauthorized: tls.verify,
    ALPNProtocols: HTTP2_ONLY,
  };
}

/** The protocol that both sides agreed on by ALPN (RFC 7301); "" for none, and without TLS. */
export function agreedProtocol(socket: Socket<unknown>): string {
  return typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
}

/**
 * Why a client's handshake is refused, in words; "" when it is not.
 *
 * `ok` alone tells nothing: it is true for a certificate that is not trusted, and then `error` says so. Where no
 * certificate is asked for, `error` says that there was none.
 */
export function clientProblem(
  socket: Socket<unknown>,
  ok: boolean,
  error: HandshakeError,
  tls: ListenerTls,
): string {
  if (!ok) return describeTlsError(error);
  if (tls.credentials.trustedCa === null) return "";
  const unusable = error !== null && error !== undefined;
  if (unusable || !socket.authorized) return describeTlsError(error);
  const certificate = socket.getPeerX509Certificate() as X509Certificate | undefined;
  if (certificate === undefined) return "the client shows no certificate";
  // A resumed session was judged when it began.
  if (socket.isSessionReused() && Date.parse(certificate.validTo) < Date.now())
    return describeTlsError({ name: "", message: "", code: "CERT_HAS_EXPIRED" });
  return tls.refusalOf(shownBy(socket, certificate));
}

/** What a client shows: his own certificate, then those of the authorities between it and one that is trusted. */
function* shownBy(socket: Socket<unknown>, own: X509Certificate): Iterable<X509Certificate> {
  yield own;
  // Not in Bun's types: `true` is for one certificate, `false` for the chain, the opposite of what node:tls has.
  const peer = socket as unknown as {
    getPeerCertificate(abbreviated: false): Partial<DetailedPeerCertificate> | undefined;
  };
  let at = peer.getPeerCertificate(false);
  const seen = new Set<unknown>([at]); // A root may be its own issuer.
  for (at = at?.issuerCertificate; at?.raw !== undefined && !seen.has(at); at = at.issuerCertificate) {
    seen.add(at);
    yield new X509Certificate(at.raw);
  }
}

/** Why a dial's handshake is no use, in words; "" when it is. */
export function serverProblem(ok: boolean, error: HandshakeError, verify: boolean): string {
  const failed = !ok || (error !== null && error !== undefined);
  if (!failed) return "";
  // Who takes any certificate is told that it is not trusted, or for another name: the connection works.
  const worksAnyway = !verify && !isTransportFailure(error);
  return worksAnyway ? "" : describeTlsError(error);
}

/** True for what TLS itself or the transport below broke on, as against what a certificate is refused for. */
function isTransportFailure(error: HandshakeError): boolean {
  const code = error?.code ?? "";
  return code === "EPROTO" || code === "ECONNRESET" || code === "";
}

/** True when the peer left before anything was agreed on: nothing that it did wrong. */
export function leftInHandshake(error: HandshakeError): boolean {
  return error?.code === "ECONNRESET";
}

/** True for an error that TLS ended a connection with, as against one of a handler of ours. */
export function isTlsError(error: Error): boolean {
  return "code" in error && (error.code === "EPROTO" || String(error.code).startsWith("ERR_SSL"));
}

/** An error of the TLS library in words, with its own name behind them. */
export function describeTlsError(error: HandshakeError): string {
  const code = error?.code ?? "";
  const known = CERTIFICATE_PROBLEMS[code];
  if (known !== undefined) return `${known} (${code})`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `the certificate is for another name: ${namesIn(error)}`;
  const reason = /OPENSSL_internal:([A-Z0-9_]+)/.exec(error?.message ?? "")?.[1];
  if (reason === undefined)
    return code === "" ? (error?.message ?? "the handshake failed") : `the handshake failed (${code})`;
  return `${HANDSHAKE_PROBLEMS[reason] ?? "the handshake failed"} (${reason})`;
}

function namesIn(error: HandshakeError): string {
  return (error?.message ?? "").replace(/^Hostname\/IP does not match certificate's altnames: /, "");
}

const UNKNOWN_AUTHORITY = "the certificate is signed by an authority that is not trusted here";

const CERTIFICATE_PROBLEMS: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself and not trusted here",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  CERT_REVOKED: "the certificate is revoked",
  INVALID_PURPOSE: "the certificate is not for this purpose",
  CERT_SIGNATURE_FAILURE: "the certificate's signature is wrong",
  ECONNRESET: "the peer closed the connection during the handshake",
};

const HANDSHAKE_PROBLEMS: Readonly<Record<string, string>> = {
  PEER_DID_NOT_RETURN_A_CERTIFICATE: "the client shows no certificate",
  WRONG_VERSION_NUMBER: "the peer does not speak TLS",
  HTTP_REQUEST: "the peer does not speak TLS but plain HTTP",
  HTTPS_PROXY_REQUEST: "the peer does not speak TLS but plain HTTP",
  UNSUPPORTED_PROTOCOL: "no TLS version in common",
  TLSV1_ALERT_PROTOCOL_VERSION: "no TLS version in common",
  NO_SHARED_CIPHER: "no cipher suite in common",
  NO_APPLICATION_PROTOCOL: "no protocol in common (ALPN)",
  TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "no protocol in common (ALPN)",
  TLSV1_ALERT_CERTIFICATE_REQUIRED: "the peer wants a certificate of ours",
  SSLV3_ALERT_BAD_CERTIFICATE: "the peer refuses our certificate",
  SSLV3_ALERT_CERTIFICATE_EXPIRED: "the peer refuses our certificate: it has expired",
  SSLV3_ALERT_CERTIFICATE_REVOKED: "the peer refuses our certificate: it is revoked",
  SSLV3_ALERT_CERTIFICATE_UNKNOWN: "the peer refuses our certificate",
  SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: "the peer refuses our certificate",
  TLSV1_ALERT_UNKNOWN_CA: "the peer does not trust our certificate's authority",
  SSLV3_ALERT_HANDSHAKE_FAILURE: "the peer refuses the handshake",
};

/** Protocol names as ALPN has them on the wire: Bun's sockets take no other form. */
function alpnWire(...protocols: string[]): Buffer {
  return Buffer.concat(protocols.map((name) => Buffer.from([name.length, ...Buffer.from(name, "latin1")])));
}
