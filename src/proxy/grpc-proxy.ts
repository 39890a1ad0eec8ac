/**
 * The grpc-proxy: its parts put together, started and stopped.
 */
import { createClient } from "@connectrpc/connect";
import { collectGarbage } from "../base/burst-garbage.ts";
import { DeadlineTimer } from "../base/deadline-wheel.ts";
import { type Endpoint, EndpointError } from "../endpoints/endpoint.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { Channel } from "../grpc/channel.ts";
import { REAL_CLOCK } from "../grpc/real-clock.ts";
import { connectTransport } from "../grpc/connect-transport.ts";
import { BufferBudget } from "../http2/buffer-budget.ts";
import { HTTP2_LIMITS, STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { defaultSettings } from "../http2/settings.ts";
import { findOwnEndpoint } from "../endpoints/own-address.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { connectionsWithinFileLimit } from "../net/file-limit.ts";
import { createResolver } from "../net/resolver.ts";
import type { Logger } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { MemberTls } from "../tls/member-tls.ts";
import { type Renewable, RenewalWatch } from "../tls/renewal.ts";
import type { ServedTls } from "../tls/served-tls.ts";
import { AdvertisedMemberList } from "./cluster/member-list.ts";
import type { TypedServices } from "./connect-services.ts";
import type { ForwardLimits } from "./forward/forward-limits.ts";
import { SingleRequestForward } from "./forward/single-request.ts";
import { type CacheBounds, KvHub } from "./kv/kv-hub.ts";
import { ChannelLeaseCalls } from "./lease/channel-lease-calls.ts";
import { LeaseHub } from "./lease/lease-hub.ts";
import { createPages } from "./pages/pages.ts";
import { Port } from "./port/port.ts";
import { Router } from "./router.ts";
import { ChannelWatchCalls } from "./watch/channel-watch-calls.ts";
import { WatchHub } from "./watch/watch-hub.ts";

export interface GrpcProxyOptions {
  readonly listenAddress: Address;
  readonly endpoints: readonly Endpoint[];
  /** What MemberList answers; empty: the members'. */
  readonly advertiseClientUrl: string;
  readonly sendBytesMax: number;
  readonly receiveBytesMax: number;
  readonly concurrentStreamsMax: number;
  readonly bufferBytesMax: number;
  readonly connectionsMax: number;
  readonly dialTimeoutMs: number;
  /** Clients' watches share watches at the members; false: each is forwarded. */
  readonly watchCoalescing: boolean;
  /** Clients' reads that ask the same share reads at the members; false: each has its own. */
  readonly readCoalescing: boolean;
  /** What is kept of answers for serializable reads; null: nothing. */
  readonly cache: CacheBounds | null;
  /** Clients' heartbeats share streams at the members; false: each stream is forwarded. */
  readonly leaseCoalescing: boolean;
  /** For endpoints that are https. */
  readonly memberTls?: MemberTls | undefined;
  /** Without it clients speak plain text. */
  readonly clientTls?: ServedTls | undefined;
  readonly log: Logger;
}

export interface GrpcProxy {
  /** Where it listens, `host:port`. */
  readonly address: string;
  /** Reads certificates, keys, authorities and revocation lists anew, now. */
  reload(): Promise<void>;
  /** Stops: calls under way get a moment to end. */
  close(): Promise<void>;
}

/** How long calls under way may take to end when the proxy stops. */
const DRAIN_MS = 1000;

/** Starts to serve. Does not wait for a member: calls do. @throws EndpointError, ListenError */
export async function startGrpcProxy(options: GrpcProxyOptions): Promise<GrpcProxy> {
  const { log, memberTls, clientTls } = options;
  await refuseOwnAddress(options.endpoints, options.listenAddress);
  const budget = new BufferBudget(options.bufferBytesMax);
  const channel = new Channel({
    endpoints: options.endpoints,
    dialTimeoutMs: options.dialTimeoutMs,
    tls: memberTls && ((hostname) => memberTls.forDial(hostname)),
    budget,
    events: {
      onConnected: (endpoint) => {
        log.info("connected to a member", { endpoint: endpoint.name });
        watchCalls?.onConnected();
        kv?.onConnected();
        leaseCalls?.onConnected();
      },
      onUnexpectedError: (error) =>
        log.error("unexpected error on a member's connection", { error: error.stack ?? error.message }),
      onEndpointFailed: (endpoint, reason, news) => {
        if (news) log.warn("a member cannot be used", { endpoint: endpoint.name, reason });
      },
    },
  });
  const limits: ForwardLimits = {
    sendBytesMax: options.sendBytesMax,
    receiveBytesMax: options.receiveBytesMax,
  };
  const kv =
    options.cache === null && !options.readCoalescing
      ? null
      : new KvHub({
          channel,
          clock: REAL_CLOCK,
          forwardLimits: limits,
          cache: options.cache,
          coalescing: options.readCoalescing,
          budget,
        });
  const watchCalls = options.watchCoalescing ? new ChannelWatchCalls(channel, limits) : null;
  const hub =
    watchCalls === null
      ? null
      : new WatchHub({
          calls: watchCalls,
          clock: REAL_CLOCK,
          requestBytesMax: limits.sendBytesMax,
          budget,
          collectGarbage,
          ...(kv === null ? {} : { events: kv }),
        });
  const leaseCalls = options.leaseCoalescing ? new ChannelLeaseCalls(channel, limits) : null;
  const leases =
    leaseCalls === null
      ? null
      : new LeaseHub({ calls: leaseCalls, clock: REAL_CLOCK, requestBytesMax: limits.sendBytesMax });
  const port = new Port({
    address: options.listenAddress,
    connectionsMax: Math.min(options.connectionsMax, connectionsWithinFileLimit(1)),
    tls: clientTls,
    shared: {
      router: new Router(channel, limits, typedServices(channel, limits, options.advertiseClientUrl), {
        kv,
        watch: hub,
        leases,
      }),
      pages: createPages(channel, limits, memberTls),
      deadlines: new DeadlineTimer(),
      log: new RateLimitedLog(log, () => performance.now()),
      http2: {
        limits: HTTP2_LIMITS,
        budget,
        settings: {
          ...defaultSettings(),
          concurrentStreamsMax: options.concurrentStreamsMax,
          initialWindowBytes: STREAM_WINDOW_BYTES,
          headerListBytesMax: HTTP2_LIMITS.headerListBytesMax,
        },
      },
    },
  });
  channel.connect();
  const renewables = [memberTls, clientTls].filter((tls) => tls !== undefined && tls.files.length > 0);
  const renewals = new RenewalWatch(renewables as readonly Renewable[], log);
  return {
    address: port.address,
    reload: () => renewals.reload(),
    async close() {
      renewals.close();
      await stop(port, channel, [hub, leases]);
    },
  };
}

/** The methods the proxy answers itself. */
function typedServices(channel: Channel, limits: ForwardLimits, advertiseClientUrl: string): TypedServices {
  if (advertiseClientUrl === "") return {};
  const members = createClient(
    Cluster,
    connectTransport((call) => {
      new SingleRequestForward(call, channel, limits, true);
    }),
  );
  const list = new AdvertisedMemberList(members, advertiseClientUrl);
  return {
    [Cluster.typeName]: {
      memberList: list.memberList.bind(list),
    },
  };
}

async function stop(
  port: Port,
  channel: Channel,
  hubs: readonly (WatchHub | LeaseHub | null)[],
): Promise<void> {
  await Promise.race([port.drain(), Bun.sleep(DRAIN_MS)]);
  port.close();
  for (const hub of hubs) hub?.close();
  channel.close();
}

/** A proxy in front of itself would forward each call for ever. */
async function refuseOwnAddress(endpoints: readonly Endpoint[], listening: Address): Promise<void> {
  const own = await findOwnEndpoint(endpoints, listening, createResolver());
  if (own === undefined) return;
  throw new EndpointError(
    `--endpoints ${own.name} should not resolve to the proxy's own --listen-addr ${formatAddress(listening)}: ` +
      "name the etcd members instead, or choose another --listen-addr",
  );
}
