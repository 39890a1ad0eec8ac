/**
 * Refuses addresses to listen on that would get in the way of the endpoints or of each other.
 *
 * Stands between the flags of both products and their listeners, before anything listens.
 */
import { type Address, formatAddress } from "../net/address.ts";
import { ListenError } from "../net/listen.ts";
import type { DnsResolver } from "../net/resolver.ts";
import { type Endpoint, EndpointError } from "./endpoint.ts";
import { findOwnEndpoint, listenersCollide } from "./own-address.ts";

/** A proxy in front of itself would forward each call for ever. @param source what names the endpoints. @throws EndpointError */
export async function refuseOwnAddress(
  endpoints: readonly Endpoint[],
  source: "--endpoints" | "--discovery-srv" | "endpoint",
  flag: string,
  listening: Address,
  resolver: DnsResolver,
): Promise<void> {
  const own = await findOwnEndpoint(endpoints, listening, resolver);
  if (own === undefined) return;
  throw new EndpointError(
    `${source === "--discovery-srv" ? `${source}:` : source} ${own.name} should not resolve to the proxy's own ${flag} ${formatAddress(listening)}: ` +
      `name the etcd members instead, or choose another ${flag}`,
  );
}

/** @param advice what to do about it. @throws ListenError */
export async function refuseCollision(
  metrics: Address,
  listening: Address,
  advice: string,
  resolver: DnsResolver,
): Promise<void> {
  if (!(await listenersCollide(listening, metrics, resolver))) return;
  throw new ListenError(
    `--metrics-addr ${formatAddress(metrics)} has the port of --listen-addr ${formatAddress(listening)}: ${advice}`,
    "",
    undefined,
  );
}
