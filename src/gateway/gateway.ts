/**
 * The L4 proxy: accepts TCP connections and pipes each to an etcd member, looking at nothing that passes.
 *
 * Stands between the command line and the connections. It never dials itself: an endpoint that resolves to its own
 * listen address is refused at the start, and later, should DNS change, at the dial.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Balancer } from "../endpoints/balancer.ts";
import { REAL_TIMERS } from "../base/clock.ts";
import { EndpointChoice } from "../endpoints/endpoint-choice.ts";
import { HealthChecks, type HealthCheckTimes } from "../endpoints/health-checks.ts";
import { formatAddress, type Address } from "../net/address.ts";
import { Dialer } from "../net/dial.ts";
import { connectionsWithinFileLimit } from "../net/file-limit.ts";
import { listen } from "../net/listen.ts";
import { createResolver, type DnsResolver } from "../net/resolver.ts";
import { drained } from "../observe/drain.ts";
import type { Logger } from "../observe/log.ts";
import { GatewayConnection } from "./connection.ts";
import type { GatewayStats } from "./gateway-stats.ts";
import { LiveConnections } from "./live-connections.ts";
import { LoopGuard } from "./loop-guard.ts";
import { addressesOf, ownAddressTest } from "../endpoints/own-address.ts";
import { MemberProbe } from "./member-probe.ts";
import type { PipeEnd } from "./pipe.ts";
import { ThrottledLine } from "./throttled-line.ts";
import { Upstream } from "./upstream.ts";

/** A member that does not answer within this time is left for the next one. */
const DIAL_TIMEOUT_MS = 3_000;
/** For a load of 10 k idle clients with room to spare. */
const CONNECTIONS_MAX = 65_536;
const FILES_PER_CONNECTION = 2;
/** Idle time after which a peer is asked whether it is still there; one that vanished would hold its files for ever. */
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
  readonly log: Logger;
  /** Looks the endpoints' host names up; without it the system does. */
  readonly resolver?: DnsResolver;
  /** No endpoint could be reached for a client, or none passes its checks; told again and again. */
  readonly onAllFailed?: () => void;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

export interface Gateway {
  /** Where it listens; the port is the real one where 0 was asked for. */
  readonly address: Address;
  readonly stats: GatewayStats;
  /**
   * Takes another list of members, at least one; what is known of those on both lists stays, and so do the connections of
   * clients. An address that leads back to the gateway is left out; a list of nothing else changes nothing.
   */
  replaceEndpoints(endpoints: readonly Endpoint[]): void;
  /** It has been asked to close: it is no longer ready for clients. */
  readonly draining: boolean;
  /** Stops listening, lets connections run on for the drain timeout, and closes those that are left. */
  close(): Promise<void>;
}

/** The gateway cannot start with these endpoints; the message names the one at fault. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
}

/** Starts to serve. Throws `ListenError`, and `GatewayError` for an endpoint that is the gateway itself. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { listenAddress, endpoints, retryDelayMs, log, now = () => performance.now() } = options;
  const resolver = options.resolver ?? createResolver();
  const isOwn = await ownAddressTest(listenAddress.hostname, resolver);
  const suspects = await resolveSuspects(endpoints, listenAddress.port, resolver);

  // Without a file left every dial would fail, and the fault would seem to be the members'.
  const connectionsMax = Math.min(
    options.connectionsMax ?? CONNECTIONS_MAX,
    connectionsWithinFileLimit(FILES_PER_CONNECTION),
  );
  const refusedLine = new ThrottledLine(log, now);
  const live = new LiveConnections();
  let draining = false;
  const listener = listen<PipeEnd>({
    address: listenAddress,
    connectionsMax,
    refused: () => refusedLine.error("too many clients, client reset", () => ({ connectionsMax })),
    handlers: {
      open(client) {
        client.setKeepAlive(true, KEEPALIVE_MS);
        stats.connectionsOpen++;
        stats.connectionsTotal++;
        // It keeps itself alive through its sockets, its dial and `live`.
        void new GatewayConnection(client, upstream, live);
      },
      data(client, chunk) {
        stats.bytesUpstream += chunk.length;
        client.data.received(chunk);
      },
      ...sharedHandlers(log),
    },
  });
  const { address } = listener;
  const stats: GatewayStats = {
    connectionsOpen: 0,
    connectionsTotal: 0,
    get connectionsRefused() {
      return listener.connectionsRefused;
    },
    connectionsFailed: 0,
    bytesUpstream: 0,
    bytesDownstream: 0,
    dialFailures: new Map(),
  };
  const choice = new EndpointChoice(endpoints, {
    retryDelayMs,
    random: options.random ?? Math.random,
    balancer: options.balancer,
  });
  const loopGuard = new LoopGuard({ listening: address, isOwn, retryDelayMs, now });
  const upstream = new Upstream({
    choice,
    dialer: new Dialer<PipeEnd>({
      timeoutMs: options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
      retryDelayMs,
      resolver: options.resolver,
      now,
      handlers: {
        data(member, chunk) {
          stats.bytesDownstream += chunk.length;
          member.data.received(chunk);
        },
        ...sharedHandlers(log),
      },
    }),
    stats,
    log,
    now,
    loopGuard,
    onAllFailed: options.onAllFailed,
  });

  // Nothing has been accepted yet: no event is handled between listening and this.
  const loop = suspects.find(
    ({ endpoint, addresses }) => endpoint.port === address.port && addresses.some(isOwn),
  );
  if (loop !== undefined) {
    listener.stop();
    throw new GatewayError(
      `endpoint ${loop.endpoint.name} should not resolve to the gateway listen addr (${formatAddress(address)}): ` +
        "name the etcd members instead, or choose another --listen-addr",
    );
  }
  const checks =
    options.healthChecks &&
    new HealthChecks(endpoints, {
      ...options.healthChecks,
      probe: new MemberProbe({
        timeoutMs: options.healthChecks.timeoutMs,
        resolver: options.resolver,
        now,
        loopGuard,
      }),
      onVerdict: (endpoint, verdict) => upstream.judged(endpoint, verdict),
      clock: REAL_TIMERS,
      random: options.random ?? Math.random,
    });
  log.info("ready to proxy client requests", {
    address: formatAddress(address),
    endpoints: endpoints.map(({ name }) => name),
  });

  return {
    address,
    stats,
    replaceEndpoints(others) {
      const usable = others.filter(({ hostname, port }) => port !== address.port || !isOwn(hostname));
      if (usable.length === 0) return;
      choice.replace(usable);
      checks?.replace(usable);
    },
    get draining() {
      return draining;
    },
    async close() {
      draining = true;
      const timeoutMs = options.drainTimeoutMs ?? 0;
      if (timeoutMs === 0) listener.stop();
      else await listener.stopBehindQueue();
      await drained({ timeoutMs, log, left: () => ({ clients: live.size }), finish: () => live.empty() });
      checks?.close(); // Until then: a member that hangs lets go of its clients.
      for (const connection of live) connection.destroy();
    },
  };
}

/** The callbacks that clients' and members' sockets have in common. */
function sharedHandlers(log: Logger) {
  return {
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
      log.error("a connection failed unexpectedly and is closed", { error });
      socket.terminate();
    },
  };
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
