/**
 * The flags about DNS discovery, for both products: what they say together, and the first lookup.
 *
 * Stands between the flags' texts and the lookups, first and later ones. With `--discovery-srv` nothing else names a
 * member: no default, and no `--endpoints`.
 */
import type { EndpointSource } from "../endpoints/endpoint-refresh.ts";
import { firstLookup } from "../endpoints/first-lookup.ts";
import { createTlsCheck } from "../endpoints/srv-check.ts";
import { SrvDiscovery } from "../endpoints/srv-discovery.ts";
import { createResolver, type DnsResolver } from "../net/resolver.ts";
import type { DialTls } from "../net/tls.ts";
import type { Logger } from "../observe/log.ts";
import { nameServerFlag } from "./address-flags.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";
import { discoveryFlags } from "./shared-flags.ts";
import { namedByOrigin, type ValueOrigins } from "./value-origin.ts";

/** What both products have. */
export interface DiscoveryFlags {
  readonly endpoints: readonly string[];
  readonly discoverySrv: string;
  readonly discoverySrvName: string;
  readonly insecureDiscovery: boolean;
  readonly discoveryRefreshMs: number;
  readonly dialTimeoutMs: number;
}

/** How names are looked up. */
export interface NameServices {
  /** For SRV records, and wherever an answer is needed before a dial. */
  readonly resolver: DnsResolver;
  /** For dials; undefined: the system resolves members' names, with its hosts file and cache. */
  readonly dialResolver: DnsResolver | undefined;
}

export interface DiscoverOptions extends NameServices {
  /** What a check shows, and demands of who has this name; null: nothing is checked. */
  readonly tls: ((serverName: string) => DialTls) | null;
  /** Every dial checks the same. */
  readonly checkedAtDial: boolean;
  readonly log: Logger;
}

/** What `--dns-server` says. Throws `CommandLineError`. */
export function nameServices(dnsServer: string): NameServices {
  const nameServer = nameServerFlag(dnsServer);
  const resolver = createResolver(nameServer === undefined ? {} : { servers: [nameServer] });
  return { resolver, dialResolver: nameServer === undefined ? undefined : resolver };
}

/**
 * What an operator should know who wrote an empty `--discovery-srv`: a variable that was to name the domain and is not set,
 * say, leaves the default in charge without a word. Empty when he did not.
 */
export function emptyDomainRemarks(
  flags: Pick<DiscoveryFlags, "discoverySrv" | "endpoints">,
  origins: ValueOrigins,
): string[] {
  const { from } = origins.of("discovery-srv");
  if (flags.discoverySrv !== "" || from === "default") return [];
  const theirs = origins.of("endpoints").from === "default" ? `, by default ${flags.endpoints.join()}` : "";
  const domain = namedByOrigin("discovery-srv", origins.of("discovery-srv"));
  return [`${domain} is empty: the members are those of --endpoints${theirs}`];
}

/** Without `--discovery-srv`: tells of flags about it that have no effect. */
export function warnOfUnused(flags: Omit<DiscoveryFlags, "endpoints" | "dialTimeoutMs">, log: Logger): void {
  const unused = [
    ...(flags.discoverySrvName === "" ? [] : ["--discovery-srv-name"]),
    ...(flags.insecureDiscovery ? ["--insecure-discovery"] : []),
    ...(flags.discoveryRefreshMs === DEFAULT_REFRESH_MS ? [] : ["--discovery-refresh"]),
  ];
  for (const flag of unused) {
    log.warn(`${flag} is not used: without --discovery-srv members are those of --endpoints`);
  }
}

/** Finds the members of `--discovery-srv`; waits for those who come up. Throws `SrvDiscoveryError`. */
export async function discover(flags: DiscoveryFlags, options: DiscoverOptions): Promise<EndpointSource> {
  const { log, tls, resolver, dialResolver } = options;
  if (!isDefault(flags.endpoints)) log.warn("--endpoints is not used: --discovery-srv names the members");
  const discovery = new SrvDiscovery({
    domain: flags.discoverySrv,
    serviceSuffix: flags.discoverySrvName,
    check:
      tls === null || flags.insecureDiscovery
        ? null
        : createTlsCheck({ tls, resolver: dialResolver, timeoutMs: flags.dialTimeoutMs }),
    withPlain: flags.insecureDiscovery,
    checkedAtDial: options.checkedAtDial,
    resolver,
    random: Math.random,
  });
  const first = await firstLookup({ discovery, nowMs: () => performance.now(), sleep: Bun.sleep, log });
  for (const warning of first.warnings) log.warn(warning);
  log.info("discovered the cluster from SRV records", {
    domain: flags.discoverySrv,
    endpoints: first.endpoints.map(({ name }) => name),
  });
  return {
    name: "SRV records",
    lookUp: () => discovery.discover(),
    refreshMs: flags.discoveryRefreshMs,
    first,
  };
}

const DEFAULT_REFRESH_MS = discoveryFlags.find(({ name }) => name === "discovery-refresh")?.default;

function isDefault(endpoints: readonly string[]): boolean {
  const flag = grpcProxyFlags.find(({ name }) => name === "endpoints");
  return JSON.stringify(endpoints) === JSON.stringify(flag?.default);
}
