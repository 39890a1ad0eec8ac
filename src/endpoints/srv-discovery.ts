/**
 * Endpoints from DNS: the SRV records of `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain.
 *
 * Stands between the resolver and the choice of endpoints. Whoever can forge DNS answers can name members of their
 * own, so records that promise TLS are taken unchecked only where the operator asked for it, and a failed lookup
 * of them never falls back to those without TLS. No records is an error, never a default address.
 */
import type { DnsResolver, SrvRecord } from "../net/resolver.ts";
import { createEndpoint, type Endpoint } from "./endpoint.ts";
import { inWeightedOrder } from "./weighted-order.ts";

export interface SrvDiscoveryOptions {
  /** `--discovery-srv` */
  readonly domain: string;
  /** `--discovery-srv-name`: looked up is `_etcd-client-<name>._tcp` then; empty for none. */
  readonly serviceSuffix?: string;
  /** `--insecure-discovery`: take records without checking them over TLS. */
  readonly insecure: boolean;
  readonly resolver: DnsResolver;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
}

export interface SrvDiscovery {
  /** At least one, in the order to try them (RFC 2782). */
  readonly endpoints: readonly Endpoint[];
  /** What the operator should know, each a line for the log. */
  readonly warnings: readonly string[];
}

/** Discovery found no endpoint that may be used. The message is one line that says what to check or change. */
export class SrvDiscoveryError extends Error {
  override readonly name = "SrvDiscoveryError";
}

/** Looks the members of a domain up. Throws `SrvDiscoveryError`. */
export async function discoverEndpoints(options: SrvDiscoveryOptions): Promise<SrvDiscovery> {
  const domain = options.domain.trim().replace(/\.$/, "");
  if (domain === "")
    throw new SrvDiscoveryError("--discovery-srv is empty: write a DNS domain, such as example.com");
  const suffix = options.serviceSuffix ? `-${options.serviceSuffix}` : "";
  const tlsService = `_etcd-client-ssl${suffix}._tcp.${domain}`;
  const plainService = `_etcd-client${suffix}._tcp.${domain}`;
  const [tls, plain] = await Promise.all([
    lookUp(options.resolver, tlsService, domain),
    lookUp(options.resolver, plainService, domain),
  ]);
  const warnings: string[] = [];
  const usable = (scheme: "http" | "https", records: readonly SrvRecord[]): Endpoint[] =>
    inWeightedOrder(records, options.random).flatMap((record) => endpointOf(scheme, record, warnings));

  if (tls.length > 0 && !options.insecure) {
    throw new SrvDiscoveryError(
      `--discovery-srv ${domain}: ${tlsService} has records, and checking them over TLS is not supported yet: ` +
        "--insecure-discovery takes them unchecked",
    );
  }
  if (tls.length === 0 && plain.length > 0) {
    warnings.push(`${tlsService} has no records; those of ${plainService} are used, which promise no TLS`);
  }
  const endpoints = withoutRepeats([...usable("https", tls), ...usable("http", plain)]);
  if (endpoints.length > 0) return { endpoints, warnings };
  throw new SrvDiscoveryError(
    `--discovery-srv ${domain}: neither ${tlsService} nor ${plainService} has a usable SRV record: ` +
      "check the domain, --discovery-srv-name and the DNS zone, or name the members with --endpoints",
  );
}

async function lookUp(resolver: DnsResolver, service: string, domain: string): Promise<readonly SrvRecord[]> {
  try {
    return await resolver.srv(service);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SrvDiscoveryError(
      `--discovery-srv ${domain}: ${reason}: check that the name server answers, or name the members with --endpoints`,
      { cause: error },
    );
  }
}

/** A target of "." says that the service is not offered there (RFC 2782); port 0 cannot be dialled. */
function endpointOf(scheme: "http" | "https", record: SrvRecord, warnings: string[]): Endpoint[] {
  const hostname = record.hostname.replace(/\.$/, "");
  if (hostname !== "" && record.port !== 0) return [createEndpoint(scheme, hostname, record.port, record)];
  warnings.push(`an SRV record with target "${record.hostname}" and port ${record.port} is left out`);
  return [];
}

/** The first of each address: a member with records of both kinds counts with the TLS one. */
function withoutRepeats(endpoints: readonly Endpoint[]): Endpoint[] {
  const seen = new Set<string>();
  return endpoints.filter(({ name }) => !seen.has(name) && seen.add(name));
}
