/**
 * Starts the grpc-proxy as its flags say.
 * Stands between the typed flags and the product, which knows addresses and endpoints but no flags.
 *
 * Invariant: what an operator got wrong ends as a CommandLineError that names the flag.
 */
import { EndpointError, parseEndpoints, withScheme } from "../endpoints/endpoint.ts";
import { SrvDiscoveryError } from "../endpoints/srv-discovery.ts";
import { ListenError } from "../net/listen.ts";
import type { GrpcProxyOptions } from "../proxy/grpc-proxy.ts";
import type { PagesListener } from "../proxy/port/listeners.ts";
import type { CacheBounds } from "../proxy/kv/kv-hub.ts";
import type { Logger } from "../observe/log.ts";
import { formatAddress } from "../net/address.ts";
import type { ServedTls } from "../tls/served-tls.ts";
import { TlsFileError } from "../tls/tls-file.ts";
import { listenAddressFlag, metricsAddressFlag, type PagesUrl } from "./address-flags.ts";
import { choiceOptions, withWeights } from "./choice-flags.ts";
import { usageError } from "./command-line-error.ts";
import { discover, nameServices, type NameServices, warnOfUnused } from "./discovery.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import { clientKeepaliveFlags, memberKeepaliveFlags } from "./keepalive-flags.ts";
import type { RunningProduct } from "./lifecycle.ts";
import { ownUserFlags } from "./own-user-flags.ts";
import { callLogFlags } from "./logging-flags.ts";
import type { WorkerSeat } from "./worker-seat.ts";
import { loadMemberTls, loadServedTls, membersSpeakTls } from "./tls-flags.ts";

const streamsMaxOfProtocol = 4_294_967_295; // SETTINGS_MAX_CONCURRENT_STREAMS is 32 bits wide (RFC 9113 §6.5.2)

/** What the line says by which the proxy tells that it serves. */
const READY_MESSAGE = "started gRPC proxy";

const operatorErrors = [EndpointError, SrvDiscoveryError, ListenError, TlsFileError];

/**
 * Resolves once clients can connect. Throws `CommandLineError` for what the operator has to change.
 *
 * @param worker its place among several workers; absent where there are none
 */
export async function startGrpcProxyProduct(
  flags: GrpcProxyFlags,
  log: Logger,
  worker?: WorkerSeat,
): Promise<RunningProduct> {
  try {
    if (flags.namespaceStrict && flags.namespace === "")
      throw usageError("--namespace-strict needs --namespace");
    const listenAddress = listenAddressFlag(flags.listenAddr);
    const metricsUrl = metricsAddressFlag(flags.metricsAddr);
    const { balancer, healthChecks } = choiceOptions(flags);
    const tlsLog = log.child("tls");
    const clientTls = await loadServedTls(
      flags,
      metricsUrl === undefined ? [listenAddress] : [listenAddress, metricsUrl.address],
      tlsLog,
      worker === undefined,
    );
    const ownUser = await ownUserFlags(flags.user, flags.passwordFile, log.child("grpc-proxy"));
    const names = nameServices(flags.dnsServer);
    const members = await findMembers(flags, names, log);
    const { startGrpcProxy } = await import("../proxy/grpc-proxy.ts");
    const proxy = await startGrpcProxy({
      listenAddress,
      metrics: metricsListener(metricsUrl, clientTls),
      ...members,
      autoSyncIntervalMs: flags.endpointsAutoSyncIntervalMs,
      namespace: flags.namespace,
      namespaceStrict: flags.namespaceStrict,
      resolver: names.dialResolver,
      advertiseClientUrl: flags.advertiseClientUrl,
      sendBytesMax: flags.maxSendBytes,
      receiveBytesMax: flags.maxRecvBytes,
      concurrentStreamsMax:
        flags.maxConcurrentStreams === 0 ? streamsMaxOfProtocol : flags.maxConcurrentStreams,
      bufferBytesMax: flags.maxBufferBytes,
      connectionsMax: flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : flags.maxConnections,
      dialTimeoutMs: flags.dialTimeoutMs,
      balancer,
      healthChecks,
      memberKeepalive: memberKeepaliveFlags(flags, log.child("grpc-proxy")),
      clientKeepalive: clientKeepaliveFlags(flags, log.child("grpc-proxy")),
      drainTimeoutMs: flags.drainTimeoutMs,
      watchCoalescing: flags.watchCoalescing,
      readCoalescing: flags.readCoalescing,
      cache: cacheBounds(flags),
      leaseCoalescing: flags.leaseCoalescing,
      clientTls,
      ownUser,
      log: log.child("grpc-proxy"),
      callLog: callLogFlags(flags, log),
      reusePort: worker !== undefined,
      worker,
    });
    if (proxy.metricsAddress !== null) {
      const address = `${metricsUrl?.scheme}://${proxy.metricsAddress}`;
      log.child("grpc-proxy").info("listening for metrics", { address });
    }
    const ready = { address: proxy.address, ...tlsInUse(clientTls) };
    if (worker === undefined) log.child("grpc-proxy").info(READY_MESSAGE, ready);
    return { ...proxy, ready: { caller: "grpc-proxy", message: READY_MESSAGE, fields: ready } };
  } catch (error) {
    if (operatorErrors.some((kind) => error instanceof kind)) throw usageError((error as Error).message);
    throw error;
  }
}

/** The members that the flags name, or that DNS names for them. */
async function findMembers(
  flags: GrpcProxyFlags,
  names: NameServices,
  log: Logger,
): Promise<Pick<GrpcProxyOptions, "endpoints" | "discovery" | "memberTls">> {
  const tlsLog = log.child("tls");
  if (flags.discoverySrv !== "") {
    const memberTls = loadMemberTls(flags, tlsLog);
    const discovery = await discover(flags, {
      ...names,
      tls: flags.insecureSkipTlsVerify ? null : (serverName) => memberTls.forDial(serverName),
      checkedAtDial: true,
      log: log.child("discovery"),
    });
    return { endpoints: discovery.first.endpoints, discovery, memberTls };
  }
  warnOfUnused(flags, log.child("discovery"));
  const speakTls = membersSpeakTls(flags);
  const endpoints = withScheme(
    withWeights(parseEndpoints(flags.endpoints), flags),
    speakTls ? "https" : "http",
  );
  // Files that are named are checked even where every endpoint is http.
  const needsTls =
    speakTls ||
    endpoints.some(({ scheme }) => scheme === "https") ||
    // The member list may name others.
    flags.endpointsAutoSyncIntervalMs > 0;
  return { endpoints, discovery: null, memberTls: needsTls ? loadMemberTls(flags, tlsLog) : undefined };
}

/** What the ready line tells of TLS towards clients; nothing for plain text. */
function tlsInUse(clientTls: ServedTls | undefined): Record<string, unknown> {
  if (clientTls === undefined) return {};
  return {
    tls: true,
    clientCertificates: clientTls.credentials.trustedCa === null ? "not asked for" : "required",
  };
}

/** The listener that the URL asks for; over TLS it serves with what the main port serves with. */
export function metricsListener(
  url: PagesUrl | undefined,
  clientTls: ServedTls | undefined,
): PagesListener | null {
  if (url === undefined) return null;
  if (url.scheme === "http") return { address: url.address, tls: undefined };
  if (clientTls === undefined) {
    throw usageError(
      `--metrics-addr https://${formatAddress(url.address)} needs --cert-file and --key-file, or --auto-tls`,
    );
  }
  return { address: url.address, tls: clientTls };
}

/** Null when any of the flags turns the cache off. */
function cacheBounds({
  cache,
  cacheMaxBytes,
  cacheMaxEntries,
  cacheMaxAgeMs,
}: GrpcProxyFlags): CacheBounds | null {
  if (!cache || cacheMaxBytes === 0 || cacheMaxEntries === 0 || cacheMaxAgeMs === 0) return null;
  return { bytesMax: cacheMaxBytes, entriesMax: cacheMaxEntries, maxAgeMs: cacheMaxAgeMs };
}
