/**
 * `/metrics`: the metrics page of a member, the one in use first, another when that does not answer.
 *
 * Over TLS it is asked for with the proxy's own certificate. Asked with `node:http`, not `fetch`: that would follow HTTP_PROXY from the environment, and a member is never
 * behind a web proxy.
 */
import { get as getPlain, type IncomingMessage } from "node:http";
import { get as getSecure } from "node:https";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { isIpLiteral } from "../../net/address.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import type { MemberTls } from "../../tls/member-tls.ts";
import { type Page, textPage } from "../../observe/page.ts";

const TIMEOUT_MS = 3000;
/** A member's page is a few hundred KiB; more is no metrics page. */
const PAGE_BYTES_MAX = 16 * 1024 * 1024;

/** `endpoints` in the order to ask them; `tls` for those that are https, `resolver` for host names in place of the system. */
export async function memberMetricsPage(
  endpoints: readonly Endpoint[],
  tls?: MemberTls,
  resolver?: DnsResolver,
): Promise<Page> {
  const reasons: string[] = [];
  for (const endpoint of endpoints) {
    try {
      return await fetchFromAny(endpoint, tls, resolver);
    } catch (error) {
      reasons.push(`${endpoint.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return textPage(502, `no member answered for its metrics\n${reasons.join("\n")}\n`);
}

/** From the first of the name's addresses that answers. Rejects when none does in time. */
async function fetchFromAny(
  endpoint: Endpoint,
  tls: MemberTls | undefined,
  resolver: DnsResolver | undefined,
): Promise<Page> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const { hostname } = endpoint;
  if (resolver === undefined || isIpLiteral(hostname)) return fetchPage(endpoint, hostname, tls, timeout);
  let failure = new Error(`${hostname} has no address in DNS`);
  for (const address of await resolver.addresses(hostname)) {
    try {
      return await fetchPage(endpoint, address, tls, timeout);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
  }
  throw failure;
}

/** Rejects unless the member answers 200 with a page before `timeout`. */
function fetchPage(
  endpoint: Endpoint,
  address: string,
  tls: MemberTls | undefined,
  timeout: AbortSignal,
): Promise<Page> {
  const { name, port, scheme, hostname, serverName = hostname } = endpoint;
  return new Promise((resolve, reject) => {
    const options = {
      hostname: address,
      port,
      path: "/metrics",
      headers: { host: name },
      agent: false,
      signal: timeout,
      ...(scheme === "https" && !isIpLiteral(serverName) ? { servername: serverName } : {}),
    };
    const onAnswer = (answer: IncomingMessage): void => {
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      answer.on("data", (piece: Uint8Array) => {
        bytes += piece.length;
        pieces.push(piece);
        if (bytes > PAGE_BYTES_MAX) request.destroy(new Error(`more than ${PAGE_BYTES_MAX} bytes`));
      });
      answer.on("error", reject);
      answer.on("end", () => {
        if (answer.statusCode !== 200) reject(new Error(`HTTP status ${answer.statusCode}`));
        else {
          resolve({
            status: 200,
            contentType: answer.headers["content-type"] ?? "text/plain; version=0.0.4",
            body: Buffer.concat(pieces),
          });
        }
      });
    };
    const request =
      scheme === "https"
        ? getSecure({ ...options, ...tls?.forRequest() }, onAnswer)
        : getPlain(options, onAnswer);
    request.on("error", (error) => {
      reject(timeout.aborted ? new Error(`no answer within ${TIMEOUT_MS} ms`) : error);
    });
  });
}
