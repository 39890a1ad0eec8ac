/**
 * Calls that web pages make: a browser sends them with its user's reach into the network, whatever page he happens to
 * read (CVE-2018-1098, CVE-2018-1099 are about etcd).
 *
 * Browsers say with `Origin` which page asks (RFC 6454; Fetch). A page of another origin is refused, and so is one whose origin
 * is a name: the name may have come to point here only now (DNS rebinding). Programs send no Origin.
 */
import { isIpLiteral } from "../../net/address.ts";

/** Returns "" or why a call with these fields is not served. `origin` is undefined where there is no such field. */
export function webPageProblem(origin: string | undefined, host: string): string {
  if (origin === undefined) return "";
  const page = URL.canParse(origin) ? new URL(origin) : null;
  const name = page?.hostname.replace(/^\[(.*)\]$/, "$1") ?? "";
  if (page?.host === host.toLowerCase() && (name === "localhost" || isIpLiteral(name))) return "";
  return "calls of web pages are not served: the request has an Origin";
}
