/**
 * Starts the grpc-proxy as its flags say.
 * Stands between the typed flags and the product, which knows addresses and endpoints but no flags.
 *
 * Invariant: what an operator got wrong ends as a CommandLineError that names the flag.
 */
import { type Endpoint, EndpointError, parseEndpoints, withScheme } from "../endpoints/endpoint.ts";
import { SrvDiscoveryError } from "../endpoints/srv-discovery.ts";
import { ListenError } from "../net/listen.ts";
import type { MembershipFlags } from "../proxy/cluster/membership.ts";
import type { GrpcProxyOptions } from "../proxy/grpc-proxy-options.ts";
import type { PagesListener } from "../proxy/port/listeners.ts";
import type { CacheBounds } from "../proxy/kv/kv-hub.ts";
import type { Logger } from "../observe/log.ts";
import { ProfilePages } from "../observe/profile-pages.ts";
import { type Address, formatAddress } from "../net/address.ts";
import type { MemberKeepaliveOptions } from "../grpc/member-keepalive.ts";
import type { OwnUser } from "../proxy/auth/sign-in.ts";
import type { ClientKeepaliveOptions } from "../proxy/port/client-keepalive.ts";
import type { MemberTls } from "../tls/member-tls.ts";
import type { ServedTls } from "../tls/served-tls.ts";
import { TlsFileError } from "../tls/tls-file.ts";
import { listenAddressFlag, metricsAddressFlag, type PagesUrl } from "./address-flags.ts";
import { type ChoiceOptions, choiceOptions, withWeights } from "./choice-flags.ts";
import { asUsageError, usageError } from "./command-line-error.ts";
import { discover, nameServices, type NameServices, warnOfUnused } from "./discovery.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import { clientKeepaliveFlags, memberKeepaliveFlags } from "./keepalive-flags.ts";
import type { RunningProduct } from "./lifecycle.ts";
import { ownUserFlags } from "./own-user-flags.ts";
import { callLogFlags } from "./logging-flags.ts";
import { registrationFlags } from "./registration-flags.ts";
import type { WorkerSeat } from "./worker-seat.ts";
import { loadMemberTls, loadServedTls, membersSpeakTls, type OwnCertificate } from "./tls-flags.ts";

const streamsMaxOfProtocol = 4_294_967_295; // SETTINGS_MAX_CONCURRENT_STREAMS is 32 bits wide (RFC 9113 §6.5.2)

/** What the line says by which the proxy tells that it serves. */
const READY_MESSAGE = "started gRPC proxy";

const operatorErrors = [EndpointError, SrvDiscoveryError, ListenError, TlsFileError];

/** What the flags say, checked as far as that goes without listening, and without asking name servers for members. */
interface PreparedGrpcProxy {
  readonly listenAddress: Address;
  readonly metricsUrl: PagesUrl | undefined;
  readonly metrics: PagesListener | null;
  readonly choice: ChoiceOptions;
  readonly clientTls: ServedTls | undefined;
  readonly ownUser: OwnUser | null;
  readonly names: NameServices;
  /** Null: they are to be discovered. */
  readonly endpoints: readonly Endpoint[] | null;
  readonly memberTls: MemberTls | undefined;
  readonly memberKeepalive: MemberKeepaliveOptions | null;
  readonly clientKeepalive: ClientKeepaliveOptions;
  readonly membership: MembershipFlags | null;
}

/**
 * Reads the flags, and the files that they name. Throws `CommandLineError` for what the operator has to change.
 *
 * @param ownCertificate what becomes of the certificate of `--auto-tls`
 */
async function prepareGrpcProxy(
  flags: GrpcProxyFlags,
  log: Logger,
  ownCertificate: OwnCertificate,
): Promise<PreparedGrpcProxy> {
  try {
    if (flags.namespaceStrict && flags.namespace === "")
      throw usageError("--namespace-strict needs --namespace");
    const listenAddress = listenAddressFlag(flags.listenAddr);
    const metricsUrl = metricsAddressFlag(flags.metricsAddr);
    const choice = choiceOptions(flags);
    const membership = registrationFlags(flags);
    const clientTls = await loadServedTls(
      flags,
      metricsUrl === undefined ? [listenAddress] : [listenAddress, metricsUrl.address],
      log.child("tls"),
      ownCertificate,
    );
    const ownUser = await ownUserFlags(flags.user, flags.passwordFile, log.child("grpc-proxy"));
    const names = nameServices(flags.dnsServer);
    if (flags.discoverySrv === "") warnOfUnused(flags, log.child("discovery"));
    const members = namedMembers(flags);
    return {
      listenAddress,
      metricsUrl,
      metrics: metricsListener(metricsUrl, clientTls, flags.autoTls),
      choice,
      clientTls,
      ownUser,
      names,
      endpoints: members.endpoints,
      memberTls: members.needTls ? loadMemberTls(flags, log.child("tls")) : undefined,
      memberKeepalive: memberKeepaliveFlags(flags, log.child("grpc-proxy")),
      clientKeepalive: clientKeepaliveFlags(flags, log.child("grpc-proxy")),
      membership,
    };
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

/** The same, and what `startGrpcProxy` would refuse about addresses; makes no certificate. Throws `CommandLineError`. */
export async function checkGrpcProxy(flags: GrpcProxyFlags, log: Logger): Promise<void> {
  const { endpoints, names, ...listening } = await prepareGrpcProxy(flags, log, "looked at");
  const { checkAddresses } = await import("../proxy/port/listeners.ts");
  try {
    await checkAddresses(listening, endpoints ?? [], "--endpoints", names.resolver);
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

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
  const prepared = await prepareGrpcProxy(flags, log, worker === undefined ? "made" : "awaited");
  const { clientTls, metricsUrl, names } = prepared;
  try {
    const members = await findMembers(flags, prepared, log);
    const { startGrpcProxy } = await import("../proxy/grpc-proxy.ts");
    const proxy = await startGrpcProxy({
      listenAddress: prepared.listenAddress,
      metrics: prepared.metrics,
      ...members,
      autoSyncIntervalMs: flags.endpointsAutoSyncIntervalMs,
      namespace: flags.namespace,
      namespaceStrict: flags.namespaceStrict,
      resolver: names.dialResolver,
      advertiseClientUrl: flags.advertiseClientUrl,
      membership: prepared.membership,
      sendBytesMax: flags.maxSendBytes,
      receiveBytesMax: flags.maxRecvBytes,
      concurrentStreamsMax:
        flags.maxConcurrentStreams === 0 ? streamsMaxOfProtocol : flags.maxConcurrentStreams,
      bufferBytesMax: flags.maxBufferBytes,
      connectionsMax: flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : flags.maxConnections,
      dialTimeoutMs: flags.dialTimeoutMs,
      ...prepared.choice,
      memberTls: prepared.memberTls,
      memberKeepalive: prepared.memberKeepalive,
      clientKeepalive: prepared.clientKeepalive,
      drainTimeoutMs: flags.drainTimeoutMs,
      watchCoalescing: flags.watchCoalescing,
      readCoalescing: flags.readCoalescing,
      cache: cacheBounds(flags),
      leaseCoalescing: flags.leaseCoalescing,
      clientTls,
      ownUser: prepared.ownUser,
      log: log.child("grpc-proxy"),
      callLog: callLogFlags(flags, log),
      reusePort: worker !== undefined,
      worker,
      profiles: flags.enablePprof ? profilePages(worker) : undefined,
    });
    if (proxy.metricsAddress !== null) {
      const address = `${metricsUrl?.scheme}://${proxy.metricsAddress}`;
      log.child("grpc-proxy").info("listening for metrics", { address });
    }
    const ready = { address: proxy.address, ...tlsInUse(clientTls) };
    if (worker === undefined) log.child("grpc-proxy").info(READY_MESSAGE, ready);
    return { ...proxy, ready: { caller: "grpc-proxy", message: READY_MESSAGE, fields: ready } };
  } catch (error) {
    throw asUsageError(error, operatorErrors);
  }
}

function profilePages(worker: WorkerSeat | undefined): ProfilePages {
  // What stands before the flags is not what was typed, but where the runtime keeps the program.
  const commandLine = [process.execPath, ...process.argv.slice(2)];
  return new ProfilePages({ commandLine, worker: worker?.index });
}

/** The members that the flags name, null where DNS names them, and whether any may speak TLS. */
function namedMembers(flags: GrpcProxyFlags): {
  readonly endpoints: readonly Endpoint[] | null;
  readonly needTls: boolean;
} {
  if (flags.discoverySrv !== "") return { endpoints: null, needTls: true };
  const speakTls = membersSpeakTls(flags);
  const endpoints = withScheme(
    withWeights(parseEndpoints(flags.endpoints), flags),
    speakTls ? "https" : "http",
  );
  // Files that are named are checked even where every endpoint is http.
  const needTls =
    speakTls ||
    endpoints.some(({ scheme }) => scheme === "https") ||
    // The member list may name others.
    flags.endpointsAutoSyncIntervalMs > 0;
  return { endpoints, needTls };
}

/** The members that the flags name, or that DNS names for them. */
async function findMembers(
  flags: GrpcProxyFlags,
  { endpoints, memberTls, names }: PreparedGrpcProxy,
  log: Logger,
): Promise<Pick<GrpcProxyOptions, "endpoints" | "discovery">> {
  if (endpoints !== null) return { endpoints, discovery: null };
  const discovery = await discover(flags, {
    ...names,
    tls: flags.insecureSkipTlsVerify ? null : (serverName) => memberTls!.forDial(serverName),
    checkedAtDial: true,
    log: log.child("discovery"),
  });
  return { endpoints: discovery.first.endpoints, discovery };
}

/** What the ready line tells of TLS towards clients; nothing for plain text. */
function tlsInUse(clientTls: ServedTls | undefined): Record<string, unknown> {
  if (clientTls === undefined) return {};
  return {
    tls: true,
    clientCertificates: clientTls.credentials.trustedCa === null ? "not asked for" : "required",
  };
}

/**
 * The listener that the URL asks for; over TLS it serves with what the main port serves with.
 *
 * @param autoTls that may be a certificate which is still to be made
 */
export function metricsListener(
  url: PagesUrl | undefined,
  clientTls: ServedTls | undefined,
  autoTls: boolean,
): PagesListener | null {
  if (url === undefined) return null;
  if (url.scheme === "http") return { address: url.address, tls: undefined };
  if (clientTls === undefined && !autoTls) {
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
