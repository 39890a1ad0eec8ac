/**
 * An etcd member's client address as `--endpoints` names it.
 *
 * Stands between the operator's text and those who choose and dial. A list that was parsed is not empty, has no
 * address twice and keeps its order; `name` tells its endpoints apart.
 */
import { AddressError, formatAddress, parseHostAndPort, withoutUserInfo } from "../net/address.ts";
import type { Weighted } from "./weighted-order.ts";

export interface Endpoint {
  /** `unstated` where the operator wrote none: whoever dials decides between plain text and TLS. */
  readonly scheme: "http" | "https" | "unstated";
  /** A DNS name, or an IP literal without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** `host:port`, with IPv6 in brackets: what logs and errors print. */
  readonly name: string;
  /** As an SRV record has it: those of the lowest number are used while one of them is good. */
  readonly priority: number;
  /** Its share among those of its priority (RFC 2782); 0: only when there is nobody else. */
  readonly weight: number;
  /** The name that its certificate must be for, where that is not `hostname`: the domain that it was discovered by. */
  readonly serverName?: string | undefined;
}

/** An item is no endpoint. The message names the flag and the item and says what to write instead. */
export class EndpointError extends Error {
  override readonly name = "EndpointError";
}

/** The port members serve clients on, used where none is written. */
const CLIENT_PORT = 2379;
const EXAMPLE = `10.0.1.10:${CLIENT_PORT}`;

/** Reads comma-separated lists, as often as the flag was given. Throws `EndpointError`. */
export function parseEndpoints(lists: string | readonly string[], flag = "--endpoints"): readonly Endpoint[] {
  const items = (typeof lists === "string" ? [lists] : lists).flatMap((list) => list.split(","));
  if (items.every((item) => item.trim() === "")) {
    throw new EndpointError(`${flag} names no member: write at least one, such as ${EXAMPLE}`);
  }
  const endpoints = new Map<string, Endpoint>();
  for (const item of items) {
    const endpoint = parseEndpoint(item.trim(), flag);
    const earlier = endpoints.get(endpoint.name);
    if (earlier === undefined) endpoints.set(endpoint.name, endpoint);
    else endpoints.set(endpoint.name, sameEndpoint(earlier, endpoint, flag));
  }
  return [...endpoints.values()];
}

/** The endpoints, with `scheme` where none was written. */
export function withScheme(endpoints: readonly Endpoint[], scheme: "http" | "https"): readonly Endpoint[] {
  return endpoints.map((endpoint) => (endpoint.scheme === "unstated" ? { ...endpoint, scheme } : endpoint));
}

/** An endpoint of these parts; `hostname` without brackets. */
export function createEndpoint(
  scheme: Endpoint["scheme"],
  hostname: string,
  port: number,
  { priority = 0, weight = 1 }: Partial<Weighted> = {},
): Endpoint {
  const canonical = hostname.toLowerCase().replace(/\.$/, "");
  const name = formatAddress({ hostname: canonical, port });
  return { scheme, hostname: canonical, port, name, priority, weight };
}

function parseEndpoint(item: string, flag: string): Endpoint {
  const refuse = (problem: string): never => {
    throw new EndpointError(`${flag}: ${problem}`);
  };
  if (item === "") return refuse(`an item of the list is empty: write ${EXAMPLE}, or drop the comma`);
  if (item.includes("@"))
    return refuse(`"${withoutUserInfo(item)}" carries a user name: write only ${EXAMPLE}`);
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?([^/?#]*)(.*)$/s.exec(item);
  const [, schemeText, authority = "", rest = ""] = match ?? [];
  const scheme = schemeText?.toLowerCase() ?? "unstated";
  if (scheme !== "http" && scheme !== "https" && scheme !== "unstated") {
    return refuse(`"${item}" has the scheme ${scheme}: write http://, https:// or only host:port`);
  }
  if (rest !== "" && rest !== "/") {
    return refuse(`"${item}" has something behind the address: write ${item.slice(0, -rest.length)}`);
  }
  try {
    const { hostname, port = CLIENT_PORT } = parseHostAndPort(authority, EXAMPLE);
    if (hostname === "")
      return refuse(`"${item}" has no host: write the member's name or address, such as ${EXAMPLE}`);
    if (port === 0) return refuse(`"${item}" has port 0: write the member's client port, such as ${EXAMPLE}`);
    return createEndpoint(scheme, hostname, port);
  } catch (error) {
    if (error instanceof AddressError) return refuse(error.message);
    throw error;
  }
}

/** The same address twice: one endpoint, under the scheme that was stated. */
function sameEndpoint(earlier: Endpoint, later: Endpoint, flag: string): Endpoint {
  if (earlier.scheme === "unstated") return later;
  if (later.scheme === "unstated" || later.scheme === earlier.scheme) return earlier;
  throw new EndpointError(`${flag} names ${earlier.name} with http:// and with https://: write it once`);
}
