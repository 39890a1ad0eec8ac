/**
 * The grpc-proxy: its parts put together, started and stopped.
 */
import { createClient, type Transport } from "@connectrpc/connect";
import { collectGarbage } from "../base/burst-garbage.ts";
import { DeadlineTimer } from "../base/deadline-wheel.ts";
import { type Endpoint, EndpointError } from "../endpoints/endpoint.ts";
import { decodedAnswerBytes } from "../etcd/message-weight.ts";
import { Auth } from "../gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { AnswerMemory } from "../grpc/answer-memory.ts";
import { Channel } from "../grpc/channel.ts";
import { REAL_CLOCK } from "../grpc/real-clock.ts";
import { connectTransport } from "../grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../grpc/in-process-call.ts";
import { BufferBudget } from "../http2/buffer-budget.ts";
import { HTTP2_LIMITS, STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { defaultSettings } from "../http2/settings.ts";
import { findOwnEndpoint, listenersCollide } from "../endpoints/own-address.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { connectionsWithinFileLimit } from "../net/file-limit.ts";
import { ListenError } from "../net/listen.ts";
import { createResolver } from "../net/resolver.ts";
import type { Logger } from "../observe/log.ts";
import { LimitLog } from "../observe/limit-log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { MemberTls } from "../tls/member-tls.ts";
import { type Renewable, RenewalWatch } from "../tls/renewal.ts";
import type { ServedTls } from "../tls/served-tls.ts";
import { OwnIdentity } from "./auth/own-identity.ts";
import { type OwnUser, signInOf } from "./auth/sign-in.ts";
import { SignInLog } from "./auth/sign-in-log.ts";
import { AdvertisedMemberList } from "./cluster/member-list.ts";
import type { TypedServices } from "./connect-services.ts";
import type { ForwardLimits } from "./forward/forward-limits.ts";
import { SingleRequestForward } from "./forward/single-request.ts";
import { type CacheBounds, KvHub } from "./kv/kv-hub.ts";
import { ReadStats } from "./kv/read-stats.ts";
import { ChannelLeaseCalls } from "./lease/channel-lease-calls.ts";
import { LeaseHub } from "./lease/lease-hub.ts";
import { LeaseStats } from "./lease/lease-stats.ts";
import { ownMetricsPage } from "./pages/own-metrics.ts";
import { createPages } from "./pages/pages.ts";
import { NO_CALLS } from "./port/call-routes.ts";
import type { Downstreams } from "./port/http2-downstream.ts";
import { Port } from "./port/port.ts";
import { Router } from "./router.ts";
import { ChannelWatchCalls } from "./watch/channel-watch-calls.ts";
import { WatchHub } from "./watch/watch-hub.ts";
import { WatchStats } from "./watch/watch-stats.ts";

/** A further listener, for pages only. */
export interface PagesListener {
  readonly address: Address;
  /** Without it the pages are in plain text. */
  readonly tls: ServedTls | undefined;
}

export interface GrpcProxyOptions {
  readonly listenAddress: Address;
  /** Where the pages are served too, and nothing else; null: only on `listenAddress`. */
  readonly metrics: PagesListener | null;
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
  /** Who the proxy is at etcd, for what it does by itself; null: nobody. */
  readonly ownUser?: OwnUser | null | undefined;
  readonly log: Logger;
}

export interface GrpcProxy {
  /** Where it listens, `host:port`. */
  readonly address: string;
  /** Where the pages are served too; null: nowhere. */
  readonly metricsAddress: string | null;
  /** Reads certificates, keys, authorities and revocation lists anew, now. */
  reload(): Promise<void>;
  /** Stops: calls under way get a moment to end. */
  close(): Promise<void>;
}

/** However small the buffers are, a member's message of this size is gathered: etcd's can be as large. */
const GATHERED_BYTES_MIN = 16 * 1024 * 1024;
/** How long calls under way may take to end when the proxy stops. */
const DRAIN_MS = 1000;

/** Those who read pages are few, and read them in turn. */
const PAGES_CONNECTIONS_MAX = 64;
const PAGES_STREAMS_MAX = 16;

/** Starts to serve. Does not wait for a member: calls do. @throws EndpointError, ListenError */
export async function startGrpcProxy(options: GrpcProxyOptions): Promise<GrpcProxy> {
  const { log, listenAddress, metrics, memberTls, clientTls } = options;
  await refuseOwnAddress(options.endpoints, "--listen-addr", listenAddress);
  if (metrics !== null) {
    await refuseOwnAddress(options.endpoints, "--metrics-addr", metrics.address);
    await refuseCollision(metrics.address, listenAddress);
  }
  const limitedLog = new RateLimitedLog(log, () => performance.now());
  const limitLog = new LimitLog(limitedLog);
  const budget = new BufferBudget(options.bufferBytesMax);
  const memory = new AnswerMemory(budget);
  const gatheredBytesMax = Math.max(GATHERED_BYTES_MIN, Math.floor(options.bufferBytesMax / 4));
  const channel = new Channel({
    endpoints: options.endpoints,
    dialTimeoutMs: options.dialTimeoutMs,
    tls: memberTls && ((hostname) => memberTls.forDial(hostname)),
    budget,
    events: {
      onConnected: (endpoint) => {
        log.info("connected to a member", { endpoint: endpoint.name });
        watchCalls?.onConnected();
        hub?.onConnected();
        kv?.onConnected();
        leaseCalls?.onConnected();
      },
      onUnexpectedError: (error) =>
        log.error("unexpected error on a member's connection", { error: error.stack ?? error.message }),
      onEndpointFailed: (endpoint, reason, news) => {
        if (news) log.warn("a member cannot be used", { endpoint: endpoint.name, reason });
      },
      onLimit: (endpoint, limit, reason) => limitLog.reached("member", limit, endpoint.name, { reason }),
    },
  });
  const limits: ForwardLimits = {
    sendBytesMax: options.sendBytesMax,
    receiveBytesMax: options.receiveBytesMax,
  };
  /** For calls whose messages are gathered here rather than passed on as they come. */
  const gathered: ForwardLimits = {
    ...limits,
    receiveBytesMax: Math.min(options.receiveBytesMax, gatheredBytesMax),
  };
  const own = options.ownUser ? ownIdentity(options.ownUser, channel, limits, log) : null;
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
  const watchCalls = options.watchCoalescing ? new ChannelWatchCalls(channel, gathered, memory) : null;
  const hub =
    watchCalls === null
      ? null
      : new WatchHub({
          calls: watchCalls,
          clock: REAL_CLOCK,
          requestBytesMax: limits.sendBytesMax,
          budget,
          memory,
          limits: { revisionBytesMax: gatheredBytesMax },
          collectGarbage,
          ...(kv === null ? {} : { events: kv }),
          own,
        });
  const leaseCalls = options.leaseCoalescing ? new ChannelLeaseCalls(channel, limits) : null;
  const leases =
    leaseCalls === null
      ? null
      : new LeaseHub({ calls: leaseCalls, clock: REAL_CLOCK, requestBytesMax: limits.sendBytesMax });
  const listeners = new Map<string, Port>();
  const pages = createPages(
    channel,
    limits,
    ownMetricsPage({
      watches: () => hub?.stats ?? NO_WATCHES,
      reads: () => kv?.stats ?? NO_READS,
      leases: () => leases?.stats ?? NO_LEASES,
      buffers: budget,
      channel,
      listeners: () => listeners,
      limits: () => limitLog.counts,
      expiries: function* () {
        yield* memberTls?.expiries() ?? [];
        yield* clientTls?.expiries() ?? [];
      },
    }),
    memberTls,
    own,
  );
  const shared: Downstreams = {
    router: new Router(
      channel,
      limits,
      typedServices(channel, limits, options.advertiseClientUrl),
      { kv, watch: hub, leases },
      { messageBytesMax: gathered.receiveBytesMax, memory, decodedBytes: decodedAnswerBytes },
    ),
    pages,
    deadlines: new DeadlineTimer(),
    log: limitedLog,
    limits: limitLog,
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
  };
  const filesForPages = metrics === null ? 0 : PAGES_CONNECTIONS_MAX;
  const port = new Port({
    address: listenAddress,
    flag: "--listen-addr",
    connectionsMax: Math.min(options.connectionsMax, connectionsWithinFileLimit(1, filesForPages)),
    tls: clientTls,
    shared,
  });
  listeners.set("clients", port);
  const pagesPort = metrics === null ? null : openPagesPort(metrics, shared, port);
  if (pagesPort !== null) listeners.set("metrics", pagesPort);
  channel.connect();
  own?.start();
  const renewables = [memberTls, clientTls].filter((tls) => tls !== undefined && tls.files.length > 0);
  const renewals = new RenewalWatch(renewables as readonly Renewable[], log);
  return {
    address: port.address,
    metricsAddress: pagesPort?.address ?? null,
    reload: () => renewals.reload(),
    async close() {
      renewals.close();
      await stop(port, channel, [own, hub, leases]);
      pagesPort?.close(); // Last, so that the pages tell of the end of the others.
    },
  };
}

/** What is told of a part that is switched off. */
const NO_WATCHES = new WatchStats();
const NO_READS = new ReadStats();
const NO_LEASES = new LeaseStats();

/** A port with the pages of `shared` and without its calls; when that fails `mainPort` is closed. @throws ListenError */
function openPagesPort({ address, tls }: PagesListener, shared: Downstreams, mainPort: Port): Port {
  const settings = { ...shared.http2.settings, concurrentStreamsMax: PAGES_STREAMS_MAX };
  try {
    return new Port({
      address,
      flag: "--metrics-addr",
      connectionsMax: PAGES_CONNECTIONS_MAX,
      tls,
      shared: { ...shared, router: NO_CALLS, http2: { ...shared.http2, settings } },
    });
  } catch (error) {
    mainPort.close();
    throw error;
  }
}

function ownIdentity(user: OwnUser, channel: Channel, limits: ForwardLimits, log: Logger): OwnIdentity {
  const endpoint = (): string => channel.endpoints[0]?.name ?? "";
  return new OwnIdentity({
    signIn: signInOf(user, createClient(Auth, memberTransport(channel, limits))),
    clock: REAL_CLOCK,
    reports: new SignInLog(log, user.name, endpoint, () => performance.now()),
  });
}

/** What typed clients of the proxy's own run on: their unary calls go to a member as they are. */
function memberTransport(channel: Channel, limits: ForwardLimits): Transport {
  return connectTransport((call) => {
    new SingleRequestForward(call, channel, limits, true);
  }, SMALL_ANSWERS);
}

/** The methods the proxy answers itself. */
function typedServices(channel: Channel, limits: ForwardLimits, advertiseClientUrl: string): TypedServices {
  if (advertiseClientUrl === "") return {};
  const members = createClient(Cluster, memberTransport(channel, limits));
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
  others: readonly ({ close(): void } | null)[],
): Promise<void> {
  await Promise.race([port.drain(), Bun.sleep(DRAIN_MS)]);
  port.close();
  for (const each of others) each?.close();
  channel.close();
}

/** A proxy in front of itself would forward each call for ever. */
async function refuseOwnAddress(
  endpoints: readonly Endpoint[],
  flag: string,
  listening: Address,
): Promise<void> {
  const own = await findOwnEndpoint(endpoints, listening, createResolver());
  if (own === undefined) return;
  throw new EndpointError(
    `--endpoints ${own.name} should not resolve to the proxy's own ${flag} ${formatAddress(listening)}: ` +
      `name the etcd members instead, or choose another ${flag}`,
  );
}

async function refuseCollision(metrics: Address, listening: Address): Promise<void> {
  if (!(await listenersCollide(listening, metrics, createResolver()))) return;
  throw new ListenError(
    `--metrics-addr ${formatAddress(metrics)} has the port of --listen-addr ${formatAddress(listening)}: ` +
      "choose another port, or leave the flag out: the pages are on --listen-addr too",
    "",
    undefined,
  );
}
