/**
 * Pages that are a member's: `/metrics` and `/version`, of the member in use first, of another when that does not answer well.
 *
 * Over TLS a member is asked with the proxy's own certificate. Asked with `node:http`, not `fetch`: that would follow
 * HTTP_PROXY from the environment, and a member is never behind a web proxy. What is passed on is a member's page for certain:
 * a status of 200, of the kind that it is to be, not beyond the size that it can have, whole within three seconds.
 */
import { get as getPlain, type IncomingMessage } from "node:http";
import { get as getSecure } from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { isIpLiteral } from "../../net/address.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import type { MemberTls } from "../../tls/member-tls.ts";
import { type Page, textPage } from "../../observe/page.ts";

/** How long a member may take, in milliseconds. */
const TIMEOUT_MS = 3000;
/** When the next one is asked besides: who reads pages has no patience for several that hang, one after another. */
const NEXT_AFTER_MS = 1000;
/** By when all have been asked. */
const ALL_ASKED_MS = 2000;

/** What a page of a member's has to be. */
export interface MemberPageKind {
  readonly path: string;
  /** What it is called where no member has it. */
  readonly name: string;
  readonly bytesMax: number;
  /** Returns "" or what is wrong with it. */
  readonly problem: (page: Page) => string;
}

export const MEMBER_METRICS: MemberPageKind = {
  path: "/metrics",
  name: "metrics",
  // A few hundred KiB; more is no metrics page.
  bytesMax: 16 * 1024 * 1024,
  problem: ({ contentType }) =>
    /^(text\/plain|application\/openmetrics-text)\b/.test(contentType)
      ? ""
      : `it is ${contentType}, not metrics`,
};

export const MEMBER_VERSION: MemberPageKind = {
  path: "/version",
  name: "version",
  bytesMax: 64 * 1024,
  problem: ({ body }) => (tellsVersion(body) ? "" : "it tells no version of etcd"),
};

function tellsVersion(body: Uint8Array): boolean {
  try {
    const told: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof told === "object" && told !== null && "etcdserver" in told;
  } catch {
    return false;
  }
}

/** How members are reached. */
export interface MemberAccess {
  /** For those that are https. */
  readonly tls?: MemberTls | undefined;
  /** Looks their names up in place of the system. */
  readonly resolver?: DnsResolver | undefined;
}

/** The page of the first that answers with it, of `endpoints` in the order to ask them; a 502 with the reasons when none does. */
export async function memberPage(
  kind: MemberPageKind,
  endpoints: readonly Endpoint[],
  access: MemberAccess = {},
): Promise<Page> {
  const over = new AbortController();
  const asked: Promise<Page>[] = [];
  const nextAfterMs = Math.min(NEXT_AFTER_MS, ALL_ASKED_MS / endpoints.length);
  try {
    for (const endpoint of endpoints) {
      asked.push(fetchFromAny(kind, endpoint, access, over.signal));
      const first = Promise.any(asked).catch(() => null);
      const page = await Promise.race([first, pause(nextAfterMs, null, { ref: false })]);
      if (page !== null) return page;
    }
    return await Promise.any(asked);
  } catch {
    const settled = await Promise.allSettled(asked);
    const reasons = settled.map((each, index) => {
      const error: unknown = each.status === "rejected" ? each.reason : "";
      return `${endpoints[index]!.name}: ${error instanceof Error ? error.message : String(error)}\n`;
    });
    return textPage(502, `no member answered for its ${kind.name}\n${reasons.join("")}`);
  } finally {
    over.abort();
  }
}

/** From the first of the name's addresses that answers. Rejects when none does in time. */
async function fetchFromAny(
  kind: MemberPageKind,
  endpoint: Endpoint,
  { tls, resolver }: MemberAccess,
  over: AbortSignal,
): Promise<Page> {
  const timeout = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), over]);
  const { hostname } = endpoint;
  if (resolver === undefined || isIpLiteral(hostname)) {
    return await fetchPage(kind, endpoint, hostname, tls, timeout);
  }
  let failure = new Error(`${hostname} has no address in DNS`);
  for (const address of await resolver.addresses(hostname)) {
    try {
      return await fetchPage(kind, endpoint, address, tls, timeout);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
  }
  throw failure;
}

/** Rejects unless the member answers with such a page before `timeout`. */
function fetchPage(
  kind: MemberPageKind,
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
      path: kind.path,
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
        if (bytes > kind.bytesMax) request.destroy(new Error(`more than ${kind.bytesMax} bytes`));
      });
      answer.on("error", reject);
      answer.on("end", () => {
        const contentType = answer.headers["content-type"] ?? "text/plain; version=0.0.4";
        const page = { status: 200, contentType, body: Buffer.concat(pieces) };
        const problem = answer.statusCode === 200 ? kind.problem(page) : `HTTP status ${answer.statusCode}`;
        if (problem === "") resolve(page);
        else reject(new Error(problem));
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
