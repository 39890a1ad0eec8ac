/** The names on `/proxy/metrics`, and that each has the value of what it is named after. */
import { expect, test } from "bun:test";
import packageJson from "../../../package.json" with { type: "json" };
import { createEndpoint } from "../../../src/endpoints/endpoint.ts";
import { BufferBudget } from "../../../src/http2/buffer-budget.ts";
import type { MembershipStats } from "../../../src/proxy/cluster/membership.ts";
import { LeaseStats } from "../../../src/proxy/lease/lease-stats.ts";
import { ReadStats } from "../../../src/proxy/kv/read-stats.ts";
import type { MetricSources } from "../../../src/proxy/metrics/metric-sources.ts";
import { ownMetricsPage } from "../../../src/proxy/pages/own-metrics.ts";
import { WatchStats } from "../../../src/proxy/watch/watch-stats.ts";
import { type Family, readExposition, valueOf } from "../../harness/exposition.ts";

/** Gives each number of `stats` a value of its own, from `first` on. */
function numbered<Stats extends object>(stats: Stats, first: number): Stats {
  Object.keys(stats).forEach((name, index) => Object.assign(stats, { [name]: first + index }));
  return stats;
}

const buffers = new BufferBudget(1_000);
buffers.changed(70);
const endpoint = createEndpoint("http", "10.0.0.1", 2379);
const watches = numbered(new WatchStats(), 100);
const reads = numbered(new ReadStats(), 200);
const leases = numbered(new LeaseStats(), 300);

function sources(others: Partial<MetricSources> = {}): MetricSources {
  return {
    watches: () => watches,
    reads: () => reads,
    leases: () => leases,
    buffers,
    calls: { rows: () => [], open: 17 },
    clientBytes: { received: 11, sent: 12 },
    draining: () => true,
    channel: {
      load: { bytes: { received: 13, sent: 14 }, callsOpen: 15 },
      connectionsOpen: 2,
      reports: [
        { endpoint, state: "fit", reason: undefined, latencyMs: 5 },
        {
          endpoint: createEndpoint("http", "10.0.0.2", 2379),
          state: "silent",
          reason: "refused",
          latencyMs: null,
        },
      ],
      endpointInUse: endpoint,
      waitingCalls: 5,
    },
    listeners: () => [
      [
        "clients",
        {
          connectionCounts: { unknown: 1, http1: 2, http2: 3 },
          connectionsTotal: 16,
          connectionsRefused: 4,
        },
      ],
    ],
    limits: () => [
      { side: "client", limit: "resets", count: 8 },
      { side: "member", limit: "resets", count: 9 },
    ],
    expiries: () => [],
    membership: null,
    ...others,
  };
}

async function page(others?: Partial<MetricSources>): Promise<Map<string, Family>> {
  const { status, contentType, body } = await ownMetricsPage(sources(others))();
  expect([status, contentType]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
  return readExposition(new TextDecoder().decode(body));
}

test("each value is under its name", async () => {
  const families = await page();
  const samples = Object.fromEntries([...families.values()].flatMap((family) => [...family.samples]));
  for (const name of Object.keys(samples)) if (name.startsWith("process_")) delete samples[name];
  expect(samples).toEqual({
    'etcdproxy_client_connections{listener="clients",protocol="unknown"}': 1,
    'etcdproxy_client_connections{listener="clients",protocol="http1"}': 2,
    'etcdproxy_client_connections{listener="clients",protocol="http2"}': 3,
    'etcdproxy_client_connections_accepted_total{listener="clients"}': 16,
    'etcdproxy_client_connections_refused_total{listener="clients"}': 4,
    etcdproxy_client_open_calls: 17,
    etcdproxy_client_received_bytes_total: 11,
    etcdproxy_client_sent_bytes_total: 12,
    etcdproxy_member_received_bytes_total: 13,
    etcdproxy_member_sent_bytes_total: 14,
    etcdproxy_member_open_calls: 15,
    etcdproxy_member_connections: 2,
    etcdproxy_waiting_calls: 5,
    'etcdproxy_endpoint_in_use{endpoint="10.0.0.1:2379"}': 1,
    'etcdproxy_endpoint_in_use{endpoint="10.0.0.2:2379"}': 0,
    'etcdproxy_endpoint_usable{endpoint="10.0.0.1:2379"}': 1,
    'etcdproxy_endpoint_usable{endpoint="10.0.0.2:2379"}': 0,
    'etcdproxy_endpoint_check_duration_seconds{endpoint="10.0.0.1:2379"}': 0.005,
    'etcdproxy_limits_reached_total{side="client",limit="resets"}': 8,
    'etcdproxy_limits_reached_total{side="member",limit="resets"}': 9,
    etcdproxy_buffer_held_bytes: 70,
    etcdproxy_buffer_limit_bytes: 1_000,
    etcd_grpc_proxy_cache_keys_total: reads.cacheKeys,
    etcd_grpc_proxy_cache_hits_total: reads.cacheHits,
    etcd_grpc_proxy_cache_misses_total: reads.cacheMisses,
    etcdproxy_cache_entries: reads.cacheEntries,
    etcdproxy_cache_bytes: reads.cacheBytes,
    etcdproxy_cache_evictions_total: reads.cacheEvictions,
    etcdproxy_shared_reads_total: reads.sharedReads,
    etcdproxy_member_reads_total: reads.upstreamReads,
    etcd_grpc_proxy_watchers_coalescing_total: watches.watchersCoalescing,
    etcd_grpc_proxy_events_coalescing_total: watches.eventsCoalescing,
    etcdproxy_watch_client_streams: watches.clientStreams,
    etcdproxy_watch_client_watches: watches.clientWatches,
    etcdproxy_watch_lagging_watches: watches.laggingWatches,
    etcdproxy_watch_member_streams: watches.upstreamStreams,
    etcdproxy_watch_member_watches: watches.upstreamWatches,
    etcdproxy_watch_catch_ups: watches.catchUps,
    etcdproxy_watch_member_events_total: watches.upstreamEvents,
    etcdproxy_watch_client_events_total: watches.deliveredEvents,
    etcdproxy_watch_lagged_total: watches.lagged,
    etcdproxy_watch_replays_total: watches.replays,
    etcdproxy_watch_resumed_total: watches.resumed,
    etcdproxy_lease_client_streams: leases.clientStreams,
    etcdproxy_lease_member_streams: leases.upstreamStreams,
    etcdproxy_lease_active_leases: leases.leases,
    etcdproxy_lease_client_heartbeats_total: leases.clientHeartbeats,
    etcdproxy_lease_member_heartbeats_total: leases.upstreamHeartbeats,
    etcdproxy_lease_shared_heartbeats_total: leases.sharedHeartbeats,
    etcdproxy_lease_resent_heartbeats_total: leases.resentHeartbeats,
    [`etcdproxy_build_info{version="${packageJson.version}",bun="${Bun.version}"}`]: 1,
    etcdproxy_draining: 1,
    etcdproxy_event_loop_delay_seconds: 0,
  });
});

test("a registration is told of where there is to be one", async () => {
  const names = [
    "etcdproxy_registered",
    "etcdproxy_registration_renewals_total",
    "etcdproxy_registered_proxies",
  ];
  const samples = (families: Map<string, Family>): unknown[] =>
    names.flatMap((name) => [...(families.get(name)?.samples ?? [])]);
  expect(samples(await page())).toEqual([]);
  const membership = (): MembershipStats => ({ registered: true, renewals: 2, proxies: 3 });
  expect(samples(await page({ membership }))).toEqual(names.map((name, index) => [name, index + 1]));
});

test("the process tells its memory, its processor time, its files and its start", async () => {
  const families = await page();
  const opened = valueOf(families, "process_open_fds");
  expect(opened).toBeGreaterThan(2);
  expect(valueOf(families, "process_max_fds")).toBeGreaterThan(opened);
  expect(valueOf(families, "process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
  expect(valueOf(families, "process_cpu_seconds_total")).toBeGreaterThan(0);
  const startedMs = valueOf(families, "process_start_time_seconds") * 1000;
  expect(startedMs).toBeWithin(Date.now() - 3_600_000, Date.now());
});

test("certificates tell when they end, by the flag of their file", async () => {
  const name = "etcdproxy_certificate_expiry_timestamp_seconds";
  expect((await page()).get(name)!.samples.size).toBe(0);
  const families = await page({
    expiries: () => [
      { flag: "--cert-file", atMs: 1_800_000_000_000 },
      { flag: "--cert", atMs: 1_900_000_000_000 },
    ],
  });
  expect([...families.get(name)!.samples]).toEqual([
    [`${name}{flag="cert-file"}`, 1_800_000_000],
    [`${name}{flag="cert"}`, 1_900_000_000],
  ]);
});

test("a limit is on the page from the first time that it is reached", async () => {
  const counts: { side: "client"; limit: string; count: number }[] = [];
  const make = ownMetricsPage(sources({ limits: () => counts }));
  const limits = async (): Promise<unknown> => {
    const families = readExposition(new TextDecoder().decode((await make()).body));
    return [...families.get("etcdproxy_limits_reached_total")!.samples];
  };
  expect(await limits()).toEqual([]);
  counts.push({ side: "client", limit: "pings", count: 1 });
  expect(await limits()).toEqual([['etcdproxy_limits_reached_total{side="client",limit="pings"}', 1]]);
});
