/**
 * Starts the gateway as its flags say.
 * Stands between the typed flags and the product, which knows addresses and endpoints but no flags.
 *
 * Invariant: what an operator got wrong ends as a CommandLineError that names the flag.
 */
import { type Endpoint, EndpointError, parseEndpoints } from "../endpoints/endpoint.ts";
import { EndpointList } from "../endpoints/endpoint-list.ts";
import { EndpointRefresh } from "../endpoints/endpoint-refresh.ts";
import { SrvDiscoveryError } from "../endpoints/srv-discovery.ts";
import { checkAddresses, GatewayError, READY_MESSAGE, startGateway } from "../gateway/gateway.ts";
import { REAL_TIMERS } from "../base/clock.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { ListenError } from "../net/listen.ts";
import type { Logger } from "../observe/log.ts";
import { MemberTls } from "../tls/member-tls.ts";
import { RenewalWatch } from "../tls/renewal.ts";
import { TlsFileError } from "../tls/tls-file.ts";
import { listenAddressFlag, metricsAddressFlag } from "./address-flags.ts";
import { type ChoiceOptions, choiceOptions, withWeights } from "./choice-flags.ts";
import { asUsageError, usageError } from "./command-line-error.ts";
import { discover, nameServices, type NameServices, warnOfUnused } from "./discovery.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import type { RunningProduct } from "./lifecycle.ts";
import type { WorkerSeat } from "./worker-seat.ts";

const operatorErrors = [EndpointError, SrvDiscoveryError, ListenError, GatewayError, TlsFileError];

/** What the flags say, checked as far as that goes without listening, and without asking name servers for members. */
export interface PreparedGateway {
  readonly listenAddress: Address;
  readonly metricsAddress: Address | null;
  readonly names: NameServices;
  readonly choice: ChoiceOptions;
  /** What discovered members are checked with; null: they are not. */
  readonly checks: MemberTls | null;
  /** Null: they are to be discovered. */
  readonly endpoints: readonly Endpoint[] | null;
}

/** Reads the flags, and the files that they name. Throws `CommandLineError` for what the operator has to change. */
export function prepareGateway(flags: GatewayFlags, log: Logger): PreparedGateway {
  const listenAddress = listenAddressFlag(flags.listenAddr);
  const names = nameServices(flags.dnsServer);
  const metricsAddress = plainMetricsAddress(flags.metricsAddr);
  const choice = choiceOptions(flags);
  try {
    if (flags.discoverySrv === "") warnOfUnused(flags, log.child("discovery"));
    const checks = loadCheckTls(flags, log.child("tls"));
    const endpoints = flags.discoverySrv === "" ? withWeights(parseEndpoints(flags.endpoints), flags) : null;
    return { listenAddress, names, metricsAddress, choice, checks, endpoints };
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

/** The same, and what `startGateway` would refuse about addresses. Throws `CommandLineError`. */
export async function checkGateway(flags: GatewayFlags, log: Logger): Promise<void> {
  const { listenAddress, metricsAddress, names, endpoints } = prepareGateway(flags, log);
  try {
    await checkAddresses({ listenAddress, metricsAddress, endpoints: endpoints ?? [] }, names.resolver);
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

/**
 * Resolves once clients can connect. Throws `CommandLineError` for what the operator has to change.
 *
 * @param worker its place among several workers; absent where there are none
 */
export async function startGatewayProduct(
  flags: GatewayFlags,
  log: Logger,
  worker?: WorkerSeat,
): Promise<RunningProduct> {
  const prepared = prepareGateway(flags, log);
  const { listenAddress, metricsAddress, names, checks } = prepared;
  const { balancer, healthChecks } = prepared.choice;
  try {
    const discovery =
      prepared.endpoints !== null
        ? null
        : await discover(flags, {
            ...names,
            tls: checks && ((serverName) => checks.forDial(serverName)),
            checkedAtDial: false,
            log: log.child("discovery"),
          });
    const endpoints = prepared.endpoints ?? discovery!.first.endpoints;
    const gateway = await startGateway({
      listenAddress,
      endpoints,
      balancer,
      healthChecks,
      retryDelayMs: flags.retryDelayMs,
      dialTimeoutMs: flags.dialTimeoutMs,
      connectionsMax: flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : flags.maxConnections,
      drainTimeoutMs: flags.drainTimeoutMs,
      idleTimeoutMs: flags.idleTimeoutMs,
      keepAliveMs: flags.tcpKeepaliveMs,
      metricsAddress,
      log: log.child("gateway"),
      reusePort: worker !== undefined,
      onAllFailed: () => refresh?.allFailed(),
      ...(names.dialResolver === undefined ? {} : { resolver: names.dialResolver }),
    });
    const refresh =
      discovery &&
      new EndpointRefresh({
        source: discovery,
        list: new EndpointList(endpoints, {
          log: log.child("discovery"),
          onChange: (others, source) => gateway.replaceEndpoints(others, source),
        }),
        clock: REAL_TIMERS,
        log: log.child("discovery"),
      });
    refresh?.start();
    const renewals = new RenewalWatch(checks === null || checks.files.length === 0 ? [] : [checks], log);
    return {
      ready: { caller: "gateway", message: READY_MESSAGE, fields: gateway.ready },
      pages: gateway.pages,
      metricValues: () => gateway.metricValues(),
      reload: () => renewals.reload(),
      async close() {
        renewals.close();
        await gateway.close();
        refresh?.close();
      },
    };
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

/** What discovered members are checked with; null: they are not. Throws `TlsFileError`. */
function loadCheckTls(flags: GatewayFlags, log: Logger): MemberTls | null {
  const path = flags.trustedCaFile;
  if (flags.discoverySrv === "" || flags.insecureDiscovery) {
    if (path !== "")
      log.warn("--trusted-ca-file is not used: it is for members of --discovery-srv, when they are checked");
    return null;
  }
  const trustedCa = path === "" ? null : { flag: "--trusted-ca-file", path };
  return MemberTls.load({ pair: null, trustedCa, verify: true, log });
}

/** Where the pages are served; null where nobody asked for them. Throws `CommandLineError`. */
export function plainMetricsAddress(text: string): Address | null {
  const url = metricsAddressFlag(text);
  if (url === undefined) return null;
  if (url.scheme === "http") return url.address;
  const address = formatAddress(url.address);
  throw usageError(
    `--metrics-addr https://${address}: the gateway has no certificate to serve it with: write http://${address}`,
  );
}
