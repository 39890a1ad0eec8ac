/**
 * The grpc-proxy: its parts put together, started and stopped.
 */
import { hostname } from "node:os";
import { createClient } from "@connectrpc/connect";
import { DeadlineTimer } from "../base/deadline-wheel.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { EndpointEvents } from "../endpoints/endpoint-events.ts";
import { HealthChecks, type HealthCheckTimes } from "../endpoints/health-checks.ts";
import { decodedAnswerBytes } from "../etcd/message-weight.ts";
import { Namespace } from "../etcd/namespace.ts";
import { namespaceMappings, namespaceRefusal } from "../etcd/namespace-rules.ts";
import { Auth } from "../gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../gen/etcdserverpb/cluster_pb.ts";
import { AnswerMemory } from "../grpc/answer-memory.ts";
import { ByteCounts } from "../grpc/byte-counts.ts";
import { Channel } from "../grpc/channel.ts";
import { keepaliveTimer } from "../grpc/keepalive-run.ts";
import { MemberKeepalive } from "../grpc/member-keepalive.ts";
import { REAL_CLOCK } from "../grpc/real-clock.ts";
import { BufferBudget } from "../http2/buffer-budget.ts";
import type { ConnectionOptions } from "../http2/connection-handler.ts";
import { HTTP2_LIMITS, STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { defaultSettings } from "../http2/settings.ts";
import { createResolver } from "../net/resolver.ts";
import { LimitLog } from "../observe/limit-log.ts";
import type { Logger } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { Expiry } from "../tls/expiry.ts";
import { RenewalWatch } from "../tls/renewal.ts";
import { OwnIdentity } from "./auth/own-identity.ts";
import { type OwnUser, signInOf } from "./auth/sign-in.ts";
import { SignInLog } from "./auth/sign-in-log.ts";
import type { CallLog } from "./call-log/call-log.ts";
import { EndpointUpkeep } from "./cluster/endpoint-upkeep.ts";
import { LeaseSlot } from "./cluster/lease-slot.ts";
import { AdvertisedMemberList } from "./cluster/member-list.ts";
import { Membership, type MembershipFlags } from "./cluster/membership.ts";
import { RegistrationCalls } from "./cluster/registration-calls.ts";
import type { TypedServices } from "./connect-services.ts";
import type { ForwardLimits } from "./forward/forward-limits.ts";
import { Drain } from "./drain.ts";
import { channelEvents } from "./channel-events.ts";
import { CallCounts } from "./metrics/call-counts.ts";
import { OwnMetrics } from "./pages/own-metrics.ts";
import { createPages } from "./pages/pages.ts";
import { ClientKeepalive } from "./port/client-keepalive.ts";
import type { Downstreams } from "./port/http2-downstream.ts";
import { clientAtWork } from "./limited-gzip.ts";
import { checkAddresses, Listeners } from "./port/listeners.ts";
import type { GrpcProxy, GrpcProxyOptions } from "./grpc-proxy-options.ts";
import { Router } from "./router.ts";
import { SelfCheck } from "./self-check/self-check.ts";
import { SharedWork, type SharedWorkParts } from "./shared-work.ts";
import { namespacedCalls } from "./upstream/namespaced-call.ts";
import { memberTransport } from "./upstream/member-transport.ts";
import { StatusProbe } from "./upstream/status-probe.ts";

/** However small the buffers are, a member's message of this size is gathered: etcd's can be as large. */
const GATHERED_BYTES_MIN = 16 * 1024 * 1024;

/** Starts to serve. Does not wait for a member: calls do. @throws EndpointError, ListenError */
export async function startGrpcProxy(options: GrpcProxyOptions): Promise<GrpcProxy> {
  const { log, memberTls, clientTls } = options;
  const resolver = options.resolver ?? createResolver();
  const source = options.discovery ? "--discovery-srv" : "--endpoints";
  await checkAddresses(options, options.endpoints, source, resolver);
  const limitedLog = new RateLimitedLog(log, () => performance.now());
  const limitLog = new LimitLog(limitedLog);
  const budget = new BufferBudget(options.bufferBytesMax);
  const memory = new AnswerMemory(budget);
  const { limits, gathered, revisionBytesMax } = forwardLimits(options);
  const { namespace: prefix = "", namespaceStrict: strict = false } = options;
  const namespace = prefix === "" ? null : new Namespace(new TextEncoder().encode(prefix));
  const keepalives = keepaliveTimer();
  const endpointEvents = new EndpointEvents();
  const channel = new Channel({
    endpoints: options.endpoints,
    dialTimeoutMs: options.dialTimeoutMs,
    balancer: options.balancer,
    keepalive: memberKeepalive(options, keepalives, log),
    resolver: options.resolver,
    tls: memberTls && ((serverName) => memberTls.forDial(serverName)),
    openCall: namespace
      ? namespacedCalls({
          mappings: namespaceMappings(namespace, strict),
          memory,
          answerBytesMax: gathered.receiveBytesMax,
        })
      : undefined,
    budget,
    events: {
      ...channelEvents(log, limitedLog, limitLog, endpointEvents, () => {
        sharedWork.onConnected();
        membership?.onConnected();
      }),
      onAllFailed: () => upkeep.allFailed(),
    },
  });
  const own = options.ownUser ? ownIdentity(options.ownUser, channel, limits, log) : null;
  const sharedWork = new SharedWork(options, {
    channel,
    limits,
    gathered,
    revisionBytesMax,
    budget,
    memory,
    own,
    notices: options.worker?.notices,
  });
  const membership = options.membership
    ? membershipOf(options, options.membership, { channel, limits, gathered, memory, own })
    : null;
  const calls = new CallCounts();
  const clientBytes = new ByteCounts();
  const expiries = function* (): Iterable<Expiry> {
    yield* memberTls?.expiries() ?? [];
    yield* clientTls?.expiries() ?? [];
  };
  const ownMetrics = new OwnMetrics(
    {
      membership: membership && (() => membership.stats),
      watches: () => sharedWork.stats.watches,
      reads: () => sharedWork.stats.reads,
      leases: () => sharedWork.stats.leases,
      buffers: budget,
      channel,
      calls,
      clientBytes,
      draining: () => drain.begun,
      listeners: () => listeners,
      limits: () => limitLog.counts,
      expiries,
    },
    options.worker?.wholeMetrics,
  );
  const typed = typedServices(channel, limits, options.advertiseClientUrl, membership);
  const connectAnswers = {
    messageBytesMax: gathered.receiveBytesMax,
    memory,
    decodedBytes: decodedAnswerBytes,
  };
  const router = new Router({
    channel,
    limits,
    typed,
    hubs: sharedWork,
    answers: connectAnswers,
    refusal: namespace ? (method) => namespaceRefusal(method, strict) : undefined,
    callLog: await callLog(options),
    calls,
  });
  const drain = new Drain(options.drainTimeoutMs, log);
  const selfCheck = new SelfCheck(() => downstreams, own);
  const pages = drain.pages(
    createPages({
      channel,
      limits,
      ownMetrics: () => ownMetrics.page(),
      memberTls,
      own,
      resolver: options.resolver,
      besideEndpoints: () => ({ events: endpointEvents.newest, draining: drain.begun }),
      draining: () => drain.begun,
      expiries,
      buffers: budget,
      selfCheck: () => selfCheck.page(),
      profiles: options.profiles?.pages,
    }),
  );
  const downstreams: Downstreams = {
    router,
    pages,
    deadlines: new DeadlineTimer(),
    log: limitedLog,
    limits: limitLog,
    http2: downstreamConnections(options, budget),
    bytes: clientBytes,
    keepalive: new ClientKeepalive(options.clientKeepalive?.pings ?? null, keepalives),
  };
  const listeners = new Listeners(options, downstreams);
  const upkeep = new EndpointUpkeep({
    endpoints: options.endpoints,
    discovery: options.discovery ?? null,
    autoSyncIntervalMs: options.autoSyncIntervalMs ?? 0,
    unstatedScheme: options.endpoints.some(({ scheme }) => scheme === "https") ? "https" : "http",
    members: createClient(Cluster, memberTransport(channel, limits)),
    own,
    listening: listeners.addresses,
    resolver,
    onChange(endpoints, source) {
      endpointEvents.replaced(
        channel.reports.map(({ endpoint }) => endpoint),
        endpoints,
        source,
      );
      channel.replaceEndpoints(endpoints);
      checks?.replace(endpoints);
    },
    clock: REAL_CLOCK,
    log,
  });
  channel.connect();
  const checks = options.healthChecks && healthChecks(options.endpoints, options.healthChecks, channel, own);
  upkeep.start();
  own?.start();
  membership?.start();
  const renewals = new RenewalWatch(
    [memberTls, clientTls].flatMap((tls) => (tls === undefined || tls.files.length === 0 ? [] : [tls])),
    log,
  );
  return {
    address: listeners.clients.address,
    metricsAddress: listeners.pages?.address ?? null,
    pages,
    metricValues: () => ownMetrics.values(),
    reload: () => renewals.reload(),
    unregister: async () => await membership?.unregister(),
    async close() {
      renewals.close();
      drain.begin();
      options.profiles?.stop();
      // Before its clients are told to look for another one.
      await membership?.leave();
      await drain.run(listeners.clients, router);
      listeners.clients.close();
      selfCheck.close();
      upkeep.close();
      membership?.close();
      checks?.close();
      own?.close();
      sharedWork.close();
      channel.close();
      listeners.pages?.close(); // Last, so that the pages tell of the end of the others.
    },
  };
}

/** Loaded only where it is asked for. */
async function callLog({ callLog: asked, log }: GrpcProxyOptions): Promise<CallLog | null> {
  if (asked === undefined) return null;
  const module = await import("./call-log/call-log.ts");
  return new module.CallLog({ log: log.child("grpc"), values: asked.values, clientAtWork });
}

function healthChecks(
  endpoints: readonly Endpoint[],
  times: HealthCheckTimes,
  channel: Channel,
  own: OwnIdentity | null,
): HealthChecks {
  const now = (): number => performance.now();
  return new HealthChecks(endpoints, {
    ...times,
    probe: new StatusProbe({ channel, token: () => own?.token ?? "", timeoutMs: 2 * times.timeoutMs, now }),
    onVerdict: (endpoint, verdict) => channel.judge(endpoint, verdict),
    clock: REAL_CLOCK,
    random: Math.random,
  });
}

/** `gathered`: for calls whose messages are gathered here rather than passed on as they come. */
function forwardLimits({ sendBytesMax, receiveBytesMax, bufferBytesMax }: GrpcProxyOptions): {
  limits: ForwardLimits;
  gathered: ForwardLimits;
  revisionBytesMax: number;
} {
  const gatheredBytesMax = Math.max(GATHERED_BYTES_MIN, Math.floor(bufferBytesMax / 4));
  return {
    limits: { sendBytesMax, receiveBytesMax },
    gathered: { sendBytesMax, receiveBytesMax: Math.min(receiveBytesMax, gatheredBytesMax) },
    // A revision may come in several messages.
    revisionBytesMax: gatheredBytesMax,
  };
}

function memberKeepalive(
  options: GrpcProxyOptions,
  timer: DeadlineTimer,
  log: Logger,
): MemberKeepalive | undefined {
  if (!options.memberKeepalive) return undefined;
  return new MemberKeepalive(options.memberKeepalive, timer, ({ name }, timeMs) => {
    const interval = `${timeMs / 1000}s`;
    log.warn("a member finds the keepalive pings too many: it is pinged less often", {
      endpoint: name,
      interval,
    });
  });
}

function downstreamConnections(
  { concurrentStreamsMax, clientKeepalive }: GrpcProxyOptions,
  budget: BufferBudget,
): ConnectionOptions {
  return {
    limits: { ...HTTP2_LIMITS, pingIntervalMinMs: clientKeepalive?.pingIntervalMinMs ?? 0 },
    budget,
    settings: {
      ...defaultSettings(),
      concurrentStreamsMax,
      initialWindowBytes: STREAM_WINDOW_BYTES,
      headerListBytesMax: HTTP2_LIMITS.headerListBytesMax,
    },
  };
}

function ownIdentity(user: OwnUser, channel: Channel, limits: ForwardLimits, log: Logger): OwnIdentity {
  const endpoint = (): string => channel.endpoints[0]?.name ?? "";
  return new OwnIdentity({
    signIn: signInOf(user, createClient(Auth, memberTransport(channel, limits))),
    clock: REAL_CLOCK,
    reports: new SignInLog(log, user.name, endpoint, () => performance.now()),
  });
}

/** The methods the proxy answers itself. */
function typedServices(
  channel: Channel,
  limits: ForwardLimits,
  advertiseClientUrl: string,
  membership: Membership | null,
): TypedServices {
  if (advertiseClientUrl === "") return {};
  const members = createClient(Cluster, memberTransport(channel, limits));
  const self = { name: hostname(), clientUrl: advertiseClientUrl };
  const list = new AdvertisedMemberList(members, self, () => membership?.proxies ?? []);
  return {
    [Cluster.typeName]: {
      memberList: list.memberList.bind(list),
    },
  };
}

/** The most that the list of all registrations may take, once it is decoded. */
const REGISTRATIONS_BYTES_MAX = 16 * 1024 * 1024;

function membershipOf(
  { advertiseClientUrl, worker, log }: GrpcProxyOptions,
  flags: MembershipFlags,
  parts: Pick<SharedWorkParts, "channel" | "limits" | "gathered" | "memory" | "own">,
): Membership {
  const { channel, limits, gathered, memory, own } = parts;
  const bounds = { messageBytesMax: REGISTRATIONS_BYTES_MAX, memory, decodedBytes: decodedAnswerBytes };
  const transport = memberTransport(channel, limits, bounds);
  return new Membership({
    ...flags,
    calls: new RegistrationCalls({
      channel,
      transport,
      receiveBytesMax: gathered.receiveBytesMax,
      memory,
      own,
    }),
    self: { name: hostname(), clientUrl: advertiseClientUrl },
    registers: worker?.registers ?? true,
    lease: worker?.lease ?? new LeaseSlot(),
    clock: REAL_CLOCK,
    log,
  });
}
