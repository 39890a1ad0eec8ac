/**
 * The L4 proxy: accepts TCP connections and pipes each to an etcd member, looking at nothing that passes.
 *
 * Stands between the command line and the connections. It never dials itself: an endpoint that resolves to its own
 * listen address is refused at the start, and later, should DNS change, at the dial.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import { EndpointEvents } from "../endpoints/endpoint-events.ts";
import type { Balancer } from "../endpoints/balancer.ts";
import { EndpointChoice } from "../endpoints/endpoint-choice.ts";
import type { HealthCheckTimes } from "../endpoints/health-checks.ts";
import { refuseCollision, refuseOwnAddress } from "../endpoints/listener-conflicts.ts";
import { addressesOf, findOwnEndpoint, ownAddressTest } from "../endpoints/own-address.ts";
import { formatAddress, type Address } from "../net/address.ts";
import { Dialer } from "../net/dial.ts";
import { connectionsWithinFileLimit } from "../net/file-limit.ts";
import { listen } from "../net/listen.ts";
import { createResolver, type DnsResolver } from "../net/resolver.ts";
import { drained } from "../observe/drain.ts";
import type { Logger } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { MetricValues } from "../observe/metrics.ts";
import type { Pages } from "../observe/page.ts";
import { PAGES_CONNECTIONS_MAX, PagesServer } from "../observe/pages-server.ts";
import { withStatusPage } from "../observe/status-page/status-page.ts";
import { GatewayConnection, type SharedByConnections } from "./connection.ts";
import { GatewayConnections } from "./connections.ts";
import { gatewayPages, OwnMetrics } from "./gateway-pages.ts";
import type { GatewayReport } from "./gateway-report.ts";
import type { GatewayStats } from "./gateway-stats.ts";
import { LoopGuard } from "./loop-guard.ts";
import { startChecks } from "./member-checks.ts";
import type { PipeEnd } from "./pipe.ts";
import { ThrottledLine } from "./throttled-line.ts";
import { Upkeep } from "./upkeep.ts";
import { Upstream } from "./upstream.ts";
import { peerOf } from "../net/peer.ts";

/** A member that does not answer within this time is left for the next one. */
const DIAL_TIMEOUT_MS = 3_000;
/** For a load of 10 k idle clients with room to spare. */
const CONNECTIONS_MAX = 65_536;
const FILES_PER_CONNECTION = 2;
/** Silence after which a peer is asked whether it is still there; one that vanished would hold its files for ever. */
const KEEPALIVE_MS = 15_000;

export interface GatewayOptions {
  readonly listenAddress: Address;
  /** At least one, none twice. */
  readonly endpoints: readonly Endpoint[];
  /** `sticky` when absent. */
  readonly balancer?: Balancer | undefined;
  /** How long a failed endpoint is set aside. */
  readonly retryDelayMs: number;
  readonly dialTimeoutMs?: number;
  readonly connectionsMax?: number;
  /** How endpoints are checked; null, or absent: they are not. */
  readonly healthChecks?: HealthCheckTimes | null | undefined;
  /** How long connections may run on after `close()`; 0, the default: they are closed at once. */
  readonly drainTimeoutMs?: number;
  /** How long a connection may be silent in both directions before it is closed; for ever when 0 or absent. */
  readonly idleTimeoutMs?: number;
  /** Silence after which the kernel asks peers whether they are still there; 0: never. */
  readonly keepAliveMs?: number;
  /** Where the pages are served; nowhere when null or absent. */
  readonly metricsAddress?: Address | null;
  readonly log: Logger;
  /** It is one of several workers, which listen on the same port. */
  readonly reusePort?: boolean;
  /** Looks the endpoints' host names up; without it the system does. */
  readonly resolver?: DnsResolver;
  /** No endpoint could be reached for a client, or none passes its checks; told again and again. */
  readonly onAllFailed?: () => void;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

/** What the line says by which a gateway tells that it serves. */
export const READY_MESSAGE = "ready to proxy client requests";

export interface Gateway {
  /** The fields of that line. */
  readonly ready: { readonly address: string; readonly endpoints: readonly string[] };
  /** Where it listens; the port is the real one where 0 was asked for. */
  readonly address: Address;
  /** Where its pages are; null when nowhere. */
  readonly metricsAddress: Address | null;
  /** What is served there, for who serves it elsewhere too. */
  readonly pages: Pages;
  /** The values of its metrics, those of other workers not among them. */
  metricValues(): Promise<MetricValues>;
  readonly stats: GatewayStats;
  readonly connections: GatewayConnections;
  /**
   * Takes another list of members, at least one; what is known of those on both lists stays, and so do the connections of
   * clients. An address that leads back to the gateway is left out; a list of nothing else changes nothing.
   *
   * @param source what it is from, for the events
   */
  replaceEndpoints(endpoints: readonly Endpoint[], source?: string): void;
  /** It has been asked to close: it is no longer ready for clients. */
  readonly draining: boolean;
  /** Stops listening, lets connections run on for the drain timeout, and closes those that are left. */
  close(): Promise<void>;
}

/** The gateway cannot start with these endpoints; the message names the one at fault. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
}

/**
 * Starts to serve. Throws `ListenError`, `GatewayError` for an endpoint that is the gateway itself, and `EndpointError` for
 * one that is its listener for pages.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { listenAddress, endpoints, retryDelayMs, log, now = () => performance.now() } = options;
  const { idleTimeoutMs = 0, keepAliveMs = KEEPALIVE_MS, metricsAddress = null } = options;
  const resolver = options.resolver ?? createResolver();
  const isOwn = await ownAddressTest(listenAddress.hostname, resolver);
  const suspects = await resolveSuspects(endpoints, listenAddress.port, resolver);
  if (metricsAddress !== null) await checkMetricsAddress(metricsAddress, options, resolver);

  // Without a file left every dial would fail, and the fault would seem to be the members'.
  const connectionsMax = Math.min(
    options.connectionsMax ?? CONNECTIONS_MAX,
    connectionsWithinFileLimit(FILES_PER_CONNECTION, metricsAddress === null ? 0 : PAGES_CONNECTIONS_MAX),
  );
  const refusedLine = new ThrottledLine(log, now);
  const connections = new GatewayConnections(log);
  const upkeep = new Upkeep({ connections, idleTimeoutMs, keepAliveMs });
  let draining = false;
  const handlers = sharedHandlers(new RateLimitedLog(log, now));
  const listener = listen<PipeEnd>({
    address: listenAddress,
    connectionsMax,
    reusePort: options.reusePort,
    refused: (peer) => refusedLine.error("too many clients, client reset", () => ({ connectionsMax, peer })),
    handlers: {
      open(client) {
        stats.connectionsTotal++;
        // It keeps itself alive through its sockets, its dial and `connections`.
        void new GatewayConnection(client, shared);
      },
      ...handlers,
    },
  });
  const { address } = listener;
  const stats: GatewayStats = {
    get connectionsOpen() {
      return connections.open;
    },
    connectionsTotal: 0,
    get connectionsRefused() {
      return listener.connectionsRefused;
    },
    connectionsFailed: 0,
    get bytesUpstream() {
      return connections.bytesFromClients;
    },
    get bytesDownstream() {
      return connections.bytesFromMembers;
    },
    dialFailures: new Map(),
  };
  const choice = new EndpointChoice(endpoints, {
    retryDelayMs,
    random: options.random ?? Math.random,
    balancer: options.balancer,
  });
  const loopGuard = new LoopGuard({ listening: address, isOwn, retryDelayMs, now });
  const events = new EndpointEvents();
  const upstream = new Upstream({
    choice,
    events,
    dialer: new Dialer<PipeEnd>({
      timeoutMs: options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
      retryDelayMs,
      resolver: options.resolver,
      now,
      handlers,
    }),
    stats,
    log,
    now,
    loopGuard,
    onAllFailed: options.onAllFailed,
  });
  const shared: SharedByConnections = { upstream, connections, upkeep };

  // Nothing has been accepted yet: no event is handled between listening and this.
  const loop = suspects.find(
    ({ endpoint, addresses }) => endpoint.port === address.port && addresses.some(isOwn),
  );
  if (loop !== undefined) {
    listener.stop();
    upkeep.close();
    throw loopError(loop.endpoint, address);
  }
  const report = (): GatewayReport => {
    const reports = choice.describe(now());
    const names = reports.map(({ endpoint }) => endpoint.name);
    return {
      draining,
      connectionsOpen: connections.open,
      connectionsMax,
      connectionsTotal: stats.connectionsTotal,
      connectionsRefused: stats.connectionsRefused,
      connectionsFailed: stats.connectionsFailed,
      endpoints: reports,
      traffic: [...connections.traffic(names).values()],
      dialFailures: Object.fromEntries(names.map((name) => [name, stats.dialFailures.get(name) ?? 0])),
    };
  };
  const metrics = new OwnMetrics(report);
  const pages = gatewayPages({ report, draining: () => draining, events, metrics });
  let pagesServer: PagesServer | null;
  try {
    pagesServer = openPages(metricsAddress, pages);
  } catch (error) {
    listener.stop();
    upkeep.close();
    throw error;
  }
  if (pagesServer !== null) {
    log.info("listening for metrics", { address: `http://${formatAddress(pagesServer.address)}` });
  }
  const checks =
    options.healthChecks &&
    startChecks(endpoints, {
      times: options.healthChecks,
      resolver: options.resolver,
      now,
      random: options.random ?? Math.random,
      loopGuard,
      connections,
      choice,
      upstream,
    });
  const ready = { address: formatAddress(address), endpoints: endpoints.map(({ name }) => name) };
  // One of several workers leaves it to who knows of all.
  if (options.reusePort !== true) log.info(READY_MESSAGE, ready);

  return {
    address,
    ready,
    metricsAddress: pagesServer?.address ?? null,
    pages,
    metricValues: () => metrics.values(),
    stats,
    connections,
    replaceEndpoints(others, source = "") {
      const usable = others.filter(({ hostname, port }) => port !== address.port || !isOwn(hostname));
      if (usable.length === 0) return;
      events.replaced(
        choice.describe(now()).map(({ endpoint }) => endpoint),
        usable,
        source,
      );
      choice.replace(usable);
      checks?.replace(usable);
      connections.forgetAllBut(usable.map(({ name }) => name));
      for (const name of stats.dialFailures.keys()) {
        if (!usable.some((endpoint) => endpoint.name === name)) stats.dialFailures.delete(name);
      }
    },
    get draining() {
      return draining;
    },
    async close() {
      draining = true;
      const timeoutMs = options.drainTimeoutMs ?? 0;
      if (timeoutMs === 0) listener.stop();
      else await listener.stopBehindQueue();
      await drained({
        timeoutMs,
        log,
        left: () => ({ clients: connections.open }),
        finish: () => connections.empty(),
      });
      checks?.close(); // Until then: a member that hangs lets go of its clients.
      connections.destroyAll();
      upkeep.close();
      pagesServer?.close();
    },
  };
}

/**
 * Refuses the addresses that `startGateway` would refuse, for who does not listen.
 *
 * @throws EndpointError, ListenError, GatewayError
 */
export async function checkAddresses(
  options: Pick<GatewayOptions, "listenAddress" | "endpoints" | "metricsAddress">,
  resolver: DnsResolver,
): Promise<void> {
  const { listenAddress, endpoints, metricsAddress } = options;
  if (metricsAddress) await checkMetricsAddress(metricsAddress, options, resolver);
  const own = await findOwnEndpoint(endpoints, listenAddress, resolver);
  if (own !== undefined) throw loopError(own, listenAddress);
}

function loopError({ name }: Endpoint, listening: Address): GatewayError {
  return new GatewayError(
    `endpoint ${name} should not resolve to the gateway listen addr (${formatAddress(listening)}): ` +
      "name the etcd members instead, or choose another --listen-addr",
  );
}

/** The callbacks that clients' and members' sockets have in common. */
function sharedHandlers(log: RateLimitedLog) {
  return {
    data(socket: Bun.Socket<PipeEnd>, chunk: Uint8Array): void {
      socket.data.received(chunk);
    },
    drain(socket: Bun.Socket<PipeEnd>): void {
      socket.data.drained();
    },
    end(socket: Bun.Socket<PipeEnd>): void {
      socket.data.ended();
    },
    close(socket: Bun.Socket<PipeEnd>, error?: Error): void {
      socket.data.closed(socket, error);
    },
    error(socket: Bun.Socket<PipeEnd>, error: Error): void {
      log.write("error", "unexpected", "a connection failed unexpectedly and is closed", {
        peer: peerOf(socket),
        error,
      });
      socket.terminate();
    },
  };
}

/** @throws EndpointError, ListenError when the listener for pages would get in the way of the others */
async function checkMetricsAddress(
  metrics: Address,
  { endpoints, listenAddress }: Pick<GatewayOptions, "endpoints" | "listenAddress">,
  resolver: DnsResolver,
): Promise<void> {
  await refuseOwnAddress(endpoints, "endpoint", "--metrics-addr", metrics, resolver);
  await refuseCollision(metrics, listenAddress, "choose another port", resolver);
}

/** @throws ListenError */
function openPages(address: Address | null, pages: Pages): PagesServer | null {
  return address === null
    ? null
    : new PagesServer({ address, flag: "--metrics-addr", pages: withStatusPage(pages) });
}

/** The endpoints that could lead back to the gateway, by their port; a name on another port need not be looked up. */
async function resolveSuspects(
  endpoints: readonly Endpoint[],
  listenPort: number,
  resolver: DnsResolver,
): Promise<{ endpoint: Endpoint; addresses: readonly string[] }[]> {
  const suspects = endpoints.filter(({ port }) => listenPort === 0 || port === listenPort);
  return await Promise.all(
    suspects.map(async (endpoint) => ({
      endpoint,
      addresses: await addressesOf(endpoint.hostname, resolver),
    })),
  );
}
