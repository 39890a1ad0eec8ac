/**
 * Whether an address is the proxy's own: an endpoint that leads back to it would be a loop without end.
 *
 * Stands between the listen address and the endpoints. On every interface a proxy has all addresses of this
 * machine; and dialling 0.0.0.0 or :: reaches the loopback address.
 */
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { type Address, isIpLiteral } from "../net/address.ts";
import type { DnsResolver } from "../net/resolver.ts";
import type { Endpoint } from "./endpoint.ts";

/** A test for the addresses under which something that listens on `hostname` is reached. */
export async function ownAddressTest(
  hostname: string,
  resolver: DnsResolver,
): Promise<(address: string) => boolean> {
  const listening = await addressesOf(hostname === "" ? "::" : hostname, resolver);
  if (!listening.some((address) => isWildcard(address))) {
    const own = new Set(listening.map((address) => dialled(address)));
    return (address) => own.has(dialled(address));
  }
  const interfaces = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const own = new Set(interfaces.map(({ address }) => dialled(address)));
  return (address) => {
    const target = dialled(address);
    return own.has(target) || isLoopback(target);
  };
}

/** The first of `endpoints` that leads back to `listening`, whose port is known; undefined when none does. */
export async function findOwnEndpoint(
  endpoints: readonly Endpoint[],
  listening: Address,
  resolver: DnsResolver,
): Promise<Endpoint | undefined> {
  const suspects = endpoints.filter(({ port }) => port === listening.port);
  if (suspects.length === 0) return undefined;
  const isOwn = await ownAddressTest(listening.hostname, resolver);
  for (const endpoint of suspects) {
    if ((await addressesOf(endpoint.hostname, resolver)).some(isOwn)) return endpoint;
  }
  return undefined;
}

/** `endpoints` without those that lead back to one of the addresses listened on, and the names of those. */
export async function withoutOwnEndpoints(
  endpoints: readonly Endpoint[],
  listening: readonly Address[],
  resolver: DnsResolver,
): Promise<{ readonly others: readonly Endpoint[]; readonly own: readonly string[] }> {
  let others = endpoints;
  const own: string[] = [];
  for (const address of listening) {
    for (;;) {
      const found = await findOwnEndpoint(others, address, resolver);
      if (found === undefined) break;
      own.push(found.name);
      others = others.filter((endpoint) => endpoint !== found);
    }
  }
  return { others, own };
}

/** Whether two listeners would want the same port of the same address. */
export async function listenersCollide(
  first: Address,
  second: Address,
  resolver: DnsResolver,
): Promise<boolean> {
  if (first.port !== second.port || first.port === 0) return false;
  if (first.hostname === second.hostname) return true;
  const isFirst = await ownAddressTest(first.hostname, resolver);
  const addresses = second.hostname === "" ? ["::"] : await addressesOf(second.hostname, resolver);
  return addresses.some((address) => isWildcard(address) || isFirst(address));
}

/** The addresses of an endpoint's host; none where it does not resolve now. */
export async function addressesOf(
  hostname: Endpoint["hostname"],
  resolver: DnsResolver,
): Promise<readonly string[]> {
  if (isIpLiteral(hostname)) return [hostname];
  try {
    return await resolver.addresses(hostname);
  } catch {
    return [];
  }
}

function isWildcard(address: string): boolean {
  return address === "::" || address === "0.0.0.0";
}

function isLoopback(address: string): boolean {
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}

/** One spelling for each address, and for wildcards the address that dialling them reaches. */
function dialled(address: string): string {
  const canonical = address.includes(":")
    ? new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1)
    : address;
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(canonical);
  if (mapped !== null) {
    const high = Number.parseInt(mapped[1] ?? "", 16);
    const low = Number.parseInt(mapped[2] ?? "", 16);
    return dialled(`${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`);
  }
  if (canonical === "::") return "::1";
  return canonical === "0.0.0.0" ? "127.0.0.1" : canonical;
}
