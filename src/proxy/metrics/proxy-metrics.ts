/**
 * The metrics of a grpc-proxy: their names, and where each value comes from.
 * Stands between what the parts count (metric-sources.ts) and the page (pages/own-metrics.ts).
 *
 * What etcd's own proxy counts too has its name there, `etcd_grpc_proxy_…`; all else is `etcdproxy_…`, in base units.
 * It is loaded when the page is first asked for: the library behind it is not needed before.
 */
import { answers } from "../../endpoints/endpoint-json.ts";
import { Metrics } from "../../observe/metrics.ts";
import { addProcessMetrics } from "../../observe/process-metrics.ts";
import { addCalls } from "./call-metrics.ts";
import type { MetricSources } from "./metric-sources.ts";

/** Makes the metrics; their values are read from `sources` whenever the page is made. */
export function proxyMetrics(sources: MetricSources): Metrics {
  const metrics = new Metrics();
  addCalls(metrics, sources.calls);
  addConnections(metrics, sources);
  addBytes(metrics, sources);
  addEndpoints(metrics, sources);
  addLimits(metrics, sources);
  addReads(metrics, sources);
  addWatches(metrics, sources);
  addLeases(metrics, sources);
  addMembership(metrics, sources);
  addCertificates(metrics, sources);
  addProcessMetrics(metrics, sources.draining);
  return metrics;
}

function addConnections(metrics: Metrics, { channel, listeners }: MetricSources): void {
  metrics.gauges(
    "etcdproxy_client_connections",
    "Connections that clients have open, by listener and by what they have said: unknown until then.",
    ["listener", "protocol"],
    function* () {
      for (const [listener, port] of listeners()) {
        for (const [protocol, value] of Object.entries(port.connectionCounts)) {
          yield { labels: { listener, protocol }, value };
        }
      }
    },
  );
  metrics.counters(
    "etcdproxy_client_connections_accepted_total",
    "Connections of clients that were accepted, by listener.",
    ["listener"],
    function* () {
      for (const [listener, { connectionsTotal }] of listeners()) {
        yield { labels: { listener }, value: connectionsTotal };
      }
    },
  );
  metrics.counters(
    "etcdproxy_client_connections_refused_total",
    "Connections of clients that were reset at once because too many were open.",
    ["listener"],
    function* () {
      for (const [listener, { connectionsRefused }] of listeners()) {
        yield { labels: { listener }, value: connectionsRefused };
      }
    },
  );
  metrics.gauge(
    "etcdproxy_member_connections",
    "Connections to the member in use that take calls.",
    () => channel.connectionsOpen,
  );
  metrics.gauge(
    "etcdproxy_member_open_calls",
    "Calls that are open at members, those of the proxy's own among them, such as checks and shared watches.",
    () => channel.load.callsOpen,
  );
  metrics.gauge(
    "etcdproxy_waiting_calls",
    "Calls that wait for a connection to a member.",
    () => channel.waitingCalls,
  );
}

function addBytes(metrics: Metrics, { clientBytes, channel }: MetricSources): void {
  metrics.counter(
    "etcdproxy_client_received_bytes_total",
    "Bytes received from clients on --listen-addr, in whatever protocol; TLS's own are not counted.",
    () => clientBytes.received,
  );
  metrics.counter(
    "etcdproxy_client_sent_bytes_total",
    "Bytes sent to clients on --listen-addr, in whatever protocol; TLS's own are not counted.",
    () => clientBytes.sent,
  );
  metrics.counter(
    "etcdproxy_member_received_bytes_total",
    "Bytes received from members over gRPC; TLS's own are not counted.",
    () => channel.load.bytes.received,
  );
  metrics.counter(
    "etcdproxy_member_sent_bytes_total",
    "Bytes sent to members over gRPC; TLS's own are not counted.",
    () => channel.load.bytes.sent,
  );
}

function addEndpoints(metrics: Metrics, { channel }: MetricSources): void {
  metrics.gauges(
    "etcdproxy_endpoint_in_use",
    "1 for the member that calls go to.",
    ["endpoint"],
    () => {
      const inUse = channel.endpointInUse?.name;
      return channel.reports.map(({ endpoint: { name } }) => ({
        labels: { endpoint: name },
        value: Number(name === inUse),
      }));
    },
    "max",
  );
  metrics.gauges(
    "etcdproxy_endpoint_usable",
    "1 for members that answer, as far as is known.",
    ["endpoint"],
    () =>
      channel.reports.map((known) => ({
        labels: { endpoint: known.endpoint.name },
        value: Number(answers(known)),
      })),
    "max",
  );
  metrics.gauges(
    "etcdproxy_endpoint_check_duration_seconds",
    "The mean time that members take to answer a health check.",
    ["endpoint"],
    function* () {
      for (const { endpoint, latencyMs } of channel.reports) {
        if (latencyMs !== null) yield { labels: { endpoint: endpoint.name }, value: latencyMs / 1000 };
      }
    },
    "max",
  );
}

function addLimits(metrics: Metrics, { buffers, limits }: MetricSources): void {
  metrics.counters(
    "etcdproxy_limits_reached_total",
    "Times that a peer reached a limit, by the side it is on and by the limit.",
    ["side", "limit"],
    function* () {
      for (const { side, limit, count } of limits()) yield { labels: { side, limit }, value: count };
    },
  );
  metrics.gauge(
    "etcdproxy_buffer_held_bytes",
    "What peers make the proxy hold: messages under way in either direction.",
    () => buffers.heldBytes,
  );
  metrics.gauge(
    "etcdproxy_buffer_limit_bytes",
    "What peers can make the proxy hold at most: --max-buffer-bytes.",
    () => buffers.bytesMax,
  );
}

function addReads(metrics: Metrics, { reads }: MetricSources): void {
  metrics.untyped(
    "etcd_grpc_proxy_cache_keys_total",
    "Keys and ranges that the cache has answers about now.",
    () => reads().cacheKeys,
  );
  metrics.counter(
    "etcd_grpc_proxy_cache_hits_total",
    "Reads that were answered out of the cache.",
    () => reads().cacheHits,
  );
  metrics.counter(
    "etcd_grpc_proxy_cache_misses_total",
    "Serializable reads that the cache had no answer for.",
    () => reads().cacheMisses,
  );
  metrics.counter(
    "etcdproxy_cache_evictions_total",
    "Answers that were dropped from the cache though they still held, to make room for others.",
    () => reads().cacheEvictions,
  );
  metrics.gauge("etcdproxy_cache_entries", "Answers in the cache.", () => reads().cacheEntries);
  metrics.gauge("etcdproxy_cache_bytes", "What the cache holds.", () => reads().cacheBytes);
  metrics.counter(
    "etcdproxy_shared_reads_total",
    "Reads of clients that could share a read at a member.",
    () => reads().sharedReads,
  );
  metrics.counter(
    "etcdproxy_member_reads_total",
    "Reads that were sent to members for those that could share.",
    () => reads().upstreamReads,
  );
}

function addWatches(metrics: Metrics, { watches }: MetricSources): void {
  metrics.untyped(
    "etcd_grpc_proxy_watchers_coalescing_total",
    "Watches of clients that ride on a watch at a member that is open anyway.",
    () => watches().watchersCoalescing,
  );
  metrics.counter(
    "etcd_grpc_proxy_events_coalescing_total",
    "Events that clients were sent and members did not have to send.",
    () => watches().eventsCoalescing,
  );
  metrics.gauge("etcdproxy_watch_client_streams", "Watch streams of clients.", () => watches().clientStreams);
  metrics.gauge("etcdproxy_watch_client_watches", "Watches of clients.", () => watches().clientWatches);
  metrics.gauge(
    "etcdproxy_watch_lagging_watches",
    "Watches of clients that are behind, and wait to be replayed.",
    () => watches().laggingWatches,
  );
  metrics.gauge(
    "etcdproxy_watch_member_streams",
    "Watch streams at members.",
    () => watches().upstreamStreams,
  );
  metrics.gauge("etcdproxy_watch_member_watches", "Watches at members.", () => watches().upstreamWatches);
  metrics.gauge(
    "etcdproxy_watch_catch_ups",
    "Watches at members that are for clients who are behind.",
    () => watches().catchUps,
  );
  metrics.counter(
    "etcdproxy_watch_member_events_total",
    "Events that members sent.",
    () => watches().upstreamEvents,
  );
  metrics.counter(
    "etcdproxy_watch_client_events_total",
    "Events that clients were sent.",
    () => watches().deliveredEvents,
  );
  metrics.counter(
    "etcdproxy_watch_lagged_total",
    "Times that a watch fell behind because its client did not read.",
    () => watches().lagged,
  );
  metrics.counter(
    "etcdproxy_watch_replays_total",
    "Times that a watch was replayed what it had missed.",
    () => watches().replays,
  );
  metrics.counter(
    "etcdproxy_watch_resumed_total",
    "Watches at members that were opened again after their stream was lost.",
    () => watches().resumed,
  );
}

function addLeases(metrics: Metrics, { leases }: MetricSources): void {
  metrics.gauge(
    "etcdproxy_lease_client_streams",
    "LeaseKeepAlive streams of clients.",
    () => leases().clientStreams,
  );
  metrics.gauge(
    "etcdproxy_lease_member_streams",
    "LeaseKeepAlive streams at members.",
    () => leases().upstreamStreams,
  );
  metrics.gauge(
    "etcdproxy_lease_active_leases",
    "Leases with a heartbeat under way, those of each identity by themselves.",
    () => leases().leases,
  );
  metrics.counter(
    "etcdproxy_lease_client_heartbeats_total",
    "Heartbeats that clients sent.",
    () => leases().clientHeartbeats,
  );
  metrics.counter(
    "etcdproxy_lease_member_heartbeats_total",
    "Heartbeats that members were sent, those sent again among them.",
    () => leases().upstreamHeartbeats,
  );
  metrics.counter(
    "etcdproxy_lease_shared_heartbeats_total",
    "Heartbeats of clients that another client's heartbeat carried.",
    () => leases().sharedHeartbeats,
  );
  metrics.counter(
    "etcdproxy_lease_resent_heartbeats_total",
    "Heartbeats that were sent again after their stream had ended.",
    () => leases().resentHeartbeats,
  );
}

/** There is nothing of it without `--resolver-prefix`: a proxy that is not to be registered alarms nobody. */
function addMembership(metrics: Metrics, { membership }: MetricSources): void {
  if (membership === null) return;
  metrics.gauge(
    "etcdproxy_registered",
    "1 while this proxy is registered under --resolver-prefix; 0 also once its lease has had no heartbeat in its time to live.",
    () => Number(membership().registered),
    "max",
  );
  metrics.counter(
    "etcdproxy_registration_renewals_total",
    "Times that the registration was lost, and had to be made again.",
    () => membership().renewals,
  );
  metrics.gauge(
    "etcdproxy_registered_proxies",
    "Proxies that are known to be registered under --resolver-prefix.",
    () => membership().proxies,
    "max",
  );
}

function addCertificates(metrics: Metrics, { expiries }: MetricSources): void {
  metrics.gauges(
    "etcdproxy_certificate_expiry_timestamp_seconds",
    "When what a TLS flag names ends, in seconds since 1970: its certificate, the first of its authorities, its list of revocations.",
    ["flag"],
    function* () {
      for (const { flag, atMs } of expiries()) {
        yield { labels: { flag: flag.replace(/^--/, "") }, value: atMs / 1000 };
      }
    },
    "min",
  );
}
