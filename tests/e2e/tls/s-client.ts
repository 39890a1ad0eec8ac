/** `openssl s_client`: a TLS client that shares no code with ours and tells all about a handshake. */
import { X509Certificate } from "node:crypto";
import type { ClientTls } from "../../harness/certificates.ts";
import { runCommand } from "../../harness/child-process.ts";

/** A request that is answered and closed by any HTTP server. */
const REQUEST = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

export interface Handshake {
  /** Exit status; not 0 when the handshake failed, as far as the client saw it. */
  readonly code: number;
  /** "TLSv1.2", "TLSv1.3"; empty when there was no handshake. */
  readonly protocol: string;
  /** OpenSSL's name of the cipher suite; empty when there was no handshake. */
  readonly cipher: string;
  /** What ALPN chose; empty for nothing. */
  readonly application: string;
  /** What the server showed. */
  readonly certificate: X509Certificate | undefined;
  /** What the server answered to a request for /health over HTTP/1.1, when one was sent. */
  readonly answer: string;
  /** All that s_client wrote. */
  readonly output: string;
}

export interface HandshakeOptions {
  readonly tls?: ClientTls;
  /** Further flags: `-tls1_2`, `-alpn h2`. */
  readonly flags?: readonly string[];
  /** Sends a request for /health over HTTP/1.1 and waits for the end of the connection. */
  readonly request?: boolean;
}

/** Shakes hands with `address` (`host:port`). Never fails on what the server does: that is in the result. */
export async function handshake(address: string, options: HandshakeOptions = {}): Promise<Handshake> {
  const { tls, flags = [], request = false } = options;
  const command = ["openssl", "s_client", "-connect", address, "-servername", "localhost", ...flags];
  if (tls !== undefined) command.push("-CAfile", tls.caFile, "-verify_return_error");
  if (tls?.certificate !== undefined) {
    const { certificateFile, keyFile } = tls.certificate;
    command.push("-cert", certificateFile, "-key", keyFile, "-cert_chain", certificateFile);
  }
  if (request) command.push("-ign_eof");
  const stdin = Buffer.from(request ? REQUEST : "");
  const { code, stdout, stderr } = await runCommand(command, { stdin });
  const [, protocol = "", cipher = ""] = /^New, (\S+), Cipher is (\S+)$/m.exec(stdout) ?? [];
  const failed = cipher === "(NONE)";
  const [, application = ""] = /^ALPN protocol: (\S+)$/m.exec(stdout) ?? [];
  const [pem] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout) ?? [];
  const [answer = ""] = /HTTP\/[12][^]*/.exec(stdout.replace(/^[^]*?\n---\n/, "")) ?? [];
  return {
    code,
    protocol: failed ? "" : protocol,
    cipher: failed ? "" : cipher,
    application,
    certificate: pem === undefined ? undefined : new X509Certificate(pem),
    answer,
    output: stdout + stderr,
  };
}

/** The serial number, in hexadecimal, of what the server at `address` shows now. @throws Error without a handshake. */
export async function shownSerialNumber(address: string, tls?: ClientTls): Promise<string> {
  const { certificate, output } = await handshake(address, tls === undefined ? {} : { tls });
  if (certificate === undefined) throw new Error(`${address} showed no certificate:\n${output}`);
  return certificate.serialNumber.toLowerCase();
}
