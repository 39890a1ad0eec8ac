/** curl as an HTTP client of either version, with and without TLS, and what it brought. */
import type { ClientTls } from "../harness/certificates.ts";
import { runCommand } from "../harness/child-process.ts";

export type HttpVersion = "HTTP/1.1" | "HTTP/2";

const VERSION_FLAGS: Readonly<Record<CurlVersion, readonly string[]>> = {
  "HTTP/1.1": ["--http1.1"],
  "HTTP/2": ["--http2-prior-knowledge"],
  negotiated: [],
};

/** With TLS: whatever the two agree on. */
export type CurlVersion = HttpVersion | "negotiated";

export interface CurlAnswer {
  readonly status: number;
  /** "1.1" or "2". */
  readonly httpVersion: string;
  readonly contentType: string;
  readonly body: string;
}

/** curl's flags for TLS. */
export function curlTls({ caFile, certificate }: ClientTls): string[] {
  const trusted = ["--cacert", caFile];
  if (certificate === undefined) return trusted;
  return [...trusted, "--cert", certificate.certificateFile, "--key", certificate.keyFile];
}

/** Runs `curl <rest> url`. @throws Error with curl's words when it did not get an answer. */
export async function curl(
  version: CurlVersion,
  url: string,
  rest: readonly string[] = [],
): Promise<CurlAnswer> {
  const report = "\n%{http_code} %{http_version} %{content_type}";
  const flags = [
    "--silent",
    "--show-error",
    "--max-time",
    "30",
    ...VERSION_FLAGS[version],
    "--write-out",
    report,
  ];
  const { code, stdout, stderr } = await runCommand(["curl", ...flags, ...rest, url]);
  if (code !== 0) throw new Error(`curl ${url} ended with ${code}: ${stderr}`);
  const end = stdout.lastIndexOf("\n");
  const told = /^(\d+) (\S+) (.*)$/.exec(stdout.slice(end + 1)) ?? [];
  const [, status = "", httpVersion = "", contentType = ""] = told;
  return { status: Number(status), httpVersion, contentType, body: stdout.slice(0, end) };
}
