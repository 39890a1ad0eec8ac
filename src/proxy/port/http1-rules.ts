/**
 * What a request over HTTP/1.1 has to be, beyond what the parser makes sure of (RFC 9112 §3, §6, §7).
 *
 * The parser refuses whatever makes a message's length doubtful. What is left are requests that two servers in a row
 * could take for different ones: another version, no Host or several, a target that is no path or a URL of another host,
 * codings around `chunked`.
 */
import type { IncomingMessage } from "node:http";

/** What a Host may consist of (RFC 3986 `host` and port), roughly. */
const HOST = /^[A-Za-z0-9.\-_~%!$&'()*+,;=:[\]]*$/;

/** A target in absolute-form (RFC 9112 §3.2.2), as clients write it that take us for a proxy: authority, and path with query. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)([/?][^#]*)?$/i;

/** Returns "" or what is wrong with the request. A target in absolute-form becomes the path that it names. */
export function requestProblem(request: IncomingMessage): string {
  const { httpVersion } = request;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return `HTTP version ${httpVersion}`;
  const absolute = ABSOLUTE_FORM.exec(request.url ?? "");
  if (absolute !== null) {
    const [, authority = "", path = "/"] = absolute;
    if (authority.toLowerCase() !== request.headers.host?.toLowerCase())
      return "the target is of another host";
    request.url = path.startsWith("/") ? path : `/${path}`;
  }
  if (request.url?.startsWith("/") !== true) return "the target is not a path";
  const hosts = fieldValues(request, "host");
  if (hosts.length > 1) return "more than one Host";
  if (hosts.length === 0 && httpVersion === "1.1") return "no Host";
  if (hosts.length === 1 && !HOST.test(hosts[0]!)) return "the Host is malformed";
  const codings = fieldValues(request, "transfer-encoding");
  if (codings.length === 0) return "";
  if (httpVersion === "1.0") return "Transfer-Encoding in HTTP/1.0";
  if (codings.length > 1 || codings[0]!.toLowerCase() !== "chunked") {
    return "a Transfer-Encoding other than chunked";
  }
  return "";
}

/** All values of a field, also of one that may come once only. */
function fieldValues(request: IncomingMessage, name: string): string[] {
  const { rawHeaders } = request;
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(rawHeaders[i + 1]!.trim());
  }
  return values;
}
