/** curl as an HTTP client of either version, and what it brought. */
import { runCommand } from "../harness/child-process.ts";

export type HttpVersion = "HTTP/1.1" | "HTTP/2";

const VERSION_FLAG: Readonly<Record<HttpVersion, string>> = {
  "HTTP/1.1": "--http1.1",
  "HTTP/2": "--http2-prior-knowledge",
};

export interface CurlAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Runs `curl <rest> url`. @throws Error with curl's words when it did not get an answer. */
export async function curl(
  version: HttpVersion,
  url: string,
  rest: readonly string[] = [],
): Promise<CurlAnswer> {
  const report = "\n%{http_code} %{content_type}";
  const flags = [
    "--silent",
    "--show-error",
    "--max-time",
    "30",
    VERSION_FLAG[version],
    "--write-out",
    report,
  ];
  const { code, stdout, stderr } = await runCommand(["curl", ...flags, ...rest, url]);
  if (code !== 0) throw new Error(`curl ${url} ended with ${code}: ${stderr}`);
  const end = stdout.lastIndexOf("\n");
  const [, status = "", contentType = ""] = /^(\d+) (.*)$/.exec(stdout.slice(end + 1)) ?? [];
  return { status: Number(status), contentType, body: stdout.slice(0, end) };
}
