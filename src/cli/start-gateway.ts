/**
 * Starts the gateway as its flags say.
 * Stands between the typed flags and the product, which knows addresses and endpoints but no flags.
 *
 * Invariant: what an operator got wrong ends as a CommandLineError that names the flag.
 */
import { EndpointError, parseEndpoints, type Endpoint } from "../endpoints/endpoint.ts";
import { discoverEndpoints, SrvDiscoveryError } from "../endpoints/srv-discovery.ts";
import { GatewayError, startGateway } from "../gateway/gateway.ts";
import { ListenError } from "../net/listen.ts";
import { createResolver, type DnsResolver } from "../net/resolver.ts";
import type { Logger } from "../observe/log.ts";
import { listenAddressFlag, nameServerFlag } from "./address-flags.ts";
import { choiceOptions, withWeights } from "./choice-flags.ts";
import { usageError } from "./command-line-error.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import type { RunningProduct } from "./lifecycle.ts";

const operatorErrors = [EndpointError, SrvDiscoveryError, ListenError, GatewayError];

/** Resolves once clients can connect. Throws `CommandLineError` for what the operator has to change. */
export async function startGatewayProduct(flags: GatewayFlags, log: Logger): Promise<RunningProduct> {
  const listenAddress = listenAddressFlag(flags.listenAddr);
  const nameServer = nameServerFlag(flags.dnsServer);
  const resolver = createResolver(nameServer === undefined ? {} : { servers: [nameServer] });
  const { balancer, healthChecks } = choiceOptions(flags);
  try {
    const discovered = flags.discoverySrv !== "";
    const gateway = await startGateway({
      listenAddress,
      endpoints: withWeights(
        discovered ? await discover(flags, resolver, log) : parseEndpoints(flags.endpoints),
        flags,
      ),
      balancer,
      healthChecks,
      retryDelayMs: flags.retryDelayMs,
      dialTimeoutMs: flags.dialTimeoutMs,
      connectionsMax: flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : flags.maxConnections,
      drainTimeoutMs: flags.drainTimeoutMs,
      log: log.child("gateway"),
      // Without --dns-server the system resolves members' names, with its hosts file and cache.
      ...(nameServer === undefined ? {} : { resolver }),
    });
    return { close: () => gateway.close() };
  } catch (error) {
    if (operatorErrors.some((kind) => error instanceof kind)) throw usageError((error as Error).message);
    throw error;
  }
}

async function discover(
  flags: GatewayFlags,
  resolver: DnsResolver,
  log: Logger,
): Promise<readonly Endpoint[]> {
  const { endpoints, warnings } = await discoverEndpoints({
    domain: flags.discoverySrv,
    serviceSuffix: flags.discoverySrvName,
    insecure: flags.insecureDiscovery,
    resolver,
    random: Math.random,
  });
  const discoveryLog = log.child("discovery");
  for (const warning of warnings) discoveryLog.warn(warning);
  discoveryLog.info("discovered the cluster from SRV records", {
    domain: flags.discoverySrv,
    endpoints: endpoints.map(({ name }) => name),
  });
  return endpoints;
}
