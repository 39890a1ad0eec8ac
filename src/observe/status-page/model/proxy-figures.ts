/** What the page shows of a grpc-proxy. */
import { failureRate, HANDLED, STARTED, unaryLatency } from "./calls.ts";
import { type Figure, gaugeLine, type PlotPlan, type ProductFigures, rateLine } from "./figures.ts";
import type { Increases } from "./increases.ts";
import { EVENT_LOOP_LINE, PROCESS_PLOTS } from "./process-figures.ts";
import { ABSENT, partOf, ratio, worded } from "./wording.ts";

const HITS = "etcd_grpc_proxy_cache_hits_total";
const MISSES = "etcd_grpc_proxy_cache_misses_total";
const LIMITS = "etcdproxy_limits_reached_total";
const CLIENT_HEARTBEATS = "etcdproxy_lease_client_heartbeats_total";
const MEMBER_HEARTBEATS = "etcdproxy_lease_member_heartbeats_total";

const hitRate = (increases: Pick<Increases, "sum"> | null): number | null =>
  partOf(increases?.sum(HITS) ?? null, increases?.sum(MISSES) ?? null);

const figures: readonly Figure[] = [
  {
    key: "calls",
    title: "Calls",
    read({ last, minute }) {
      const rate = last?.rate(STARTED) ?? null;
      const failed = failureRate(minute);
      const handled = minute?.rate(HANDLED) ?? null;
      if (rate === null) return { value: ABSENT, detail: "no calls yet" };
      const part = failed === null || !handled ? null : failed / handled;
      const detail = part === null ? "none has ended lately" : `${worded(part, "part")} failed, last minute`;
      return { value: worded(rate, "perSecond"), detail };
    },
  },
  {
    key: "latency",
    title: "Latency, p99",
    read({ minute }) {
      const median = unaryLatency(0.5, minute);
      if (median === null) return { value: ABSENT, detail: "no unary calls" };
      return {
        value: worded(unaryLatency(0.99, minute), "seconds"),
        detail: `median ${worded(median, "seconds")}, last minute`,
      };
    },
  },
  {
    key: "cache",
    title: "Cache hit rate",
    read({ now, minute }) {
      const overall = hitRate(now);
      if (overall === null) return { value: ABSENT, detail: "no serializable reads yet" };
      return {
        value: worded(hitRate(minute) ?? overall, "part"),
        detail: `${worded(overall, "part")} since the start`,
      };
    },
  },
  {
    key: "watches",
    title: "Watch coalescing",
    read({ now }) {
      const [clients, members] = [
        now.sum("etcdproxy_watch_client_watches"),
        now.sum("etcdproxy_watch_member_watches"),
      ];
      const lagging = now.sum("etcdproxy_watch_lagging_watches") ?? 0;
      if (!clients) return { value: ABSENT, detail: "no watches" };
      const counts = `${worded(clients, "count")} watches on ${worded(members, "count")}`;
      return {
        value: ratio(clients, members),
        detail: lagging > 0 ? `${counts}, ${lagging} behind` : counts,
      };
    },
  },
  {
    key: "heartbeats",
    title: "Lease coalescing",
    read({ now, minute }) {
      const overall = ratio(now.sum(CLIENT_HEARTBEATS), now.sum(MEMBER_HEARTBEATS));
      if (overall === ABSENT) return { value: ABSENT, detail: "no heartbeats yet" };
      const lately = ratio(minute?.sum(CLIENT_HEARTBEATS) ?? null, minute?.sum(MEMBER_HEARTBEATS) ?? null);
      return {
        value: lately === ABSENT ? overall : lately,
        detail: `heartbeats; ${overall} since the start`,
      };
    },
  },
  {
    key: "connections",
    title: "Client connections",
    read({ now }) {
      const clients = now.sum("etcdproxy_client_connections", { listener: "clients" });
      const members = now.sum("etcdproxy_member_connections");
      return { value: worded(clients, "count"), detail: `${worded(members, "count")} to the member in use` };
    },
  },
  {
    key: "buffers",
    title: "Buffers held",
    read({ now }) {
      const [held, most] = [now.sum("etcdproxy_buffer_held_bytes"), now.sum("etcdproxy_buffer_limit_bytes")];
      return {
        value: worded(held, "bytes"),
        detail: `${worded(partOf(held, (most ?? 0) - (held ?? 0)), "part")} of ${worded(most, "bytes")}`,
      };
    },
  },
  {
    key: "limits",
    title: "Limits reached",
    read({ now, minute }) {
      return {
        value: worded(minute?.sum(LIMITS) ?? 0, "count"),
        detail: `last minute · ${worded(now.sum(LIMITS) ?? 0, "count")} in all`,
      };
    },
  },
];

const plots: readonly PlotPlan[] = [
  {
    title: "Calls",
    unit: "perSecond",
    absent: "No calls yet",
    lines: [
      rateLine("calls-started", "started", STARTED),
      { key: "calls-failed", name: "failed", read: ({ last }) => failureRate(last) },
    ],
  },
  {
    title: "Latency of unary calls",
    unit: "seconds",
    absent: "No unary calls yet",
    lines: [
      { key: "latency-50", name: "p50", read: ({ soon }) => unaryLatency(0.5, soon) },
      { key: "latency-95", name: "p95", read: ({ soon }) => unaryLatency(0.95, soon) },
      { key: "latency-99", name: "p99", read: ({ soon }) => unaryLatency(0.99, soon) },
    ],
  },
  {
    title: "Watches",
    unit: "count",
    lines: [
      gaugeLine("watches-clients", "of clients", "etcdproxy_watch_client_watches"),
      gaugeLine("watches-members", "at members", "etcdproxy_watch_member_watches"),
    ],
  },
  {
    title: "Watch events",
    unit: "perSecond",
    lines: [
      rateLine("events-clients", "to clients", "etcdproxy_watch_client_events_total"),
      rateLine("events-members", "from members", "etcdproxy_watch_member_events_total"),
    ],
  },
  {
    title: "Lease heartbeats",
    unit: "perSecond",
    lines: [
      rateLine("heartbeats-clients", "of clients", CLIENT_HEARTBEATS),
      rateLine("heartbeats-members", "to members", MEMBER_HEARTBEATS),
    ],
  },
  {
    title: "Reads",
    unit: "perSecond",
    lines: [
      rateLine("reads-clients", "clients", "etcdproxy_shared_reads_total"),
      rateLine("reads-members", "members", "etcdproxy_member_reads_total"),
      rateLine("reads-cached", "cached", HITS),
    ],
  },
  {
    title: "Cache hit rate",
    unit: "part",
    absent: "No serializable reads yet",
    lines: [{ key: "hits", name: "hits", read: ({ soon }) => hitRate(soon) }],
  },
  {
    title: "Connections, and calls that wait",
    unit: "count",
    lines: [
      gaugeLine("connections-clients", "clients", "etcdproxy_client_connections", { listener: "clients" }),
      gaugeLine("connections-members", "member", "etcdproxy_member_connections"),
      gaugeLine("calls-waiting", "waiting", "etcdproxy_waiting_calls"),
    ],
  },
  {
    title: "Bytes of clients",
    unit: "bytesPerSecond",
    lines: [
      rateLine("bytes-received", "received", "etcdproxy_client_received_bytes_total"),
      rateLine("bytes-sent", "sent", "etcdproxy_client_sent_bytes_total"),
    ],
  },
  {
    title: "Buffers",
    unit: "bytes",
    lines: [
      gaugeLine("buffers", "held", "etcdproxy_buffer_held_bytes"),
      gaugeLine("cache-bytes", "cache", "etcdproxy_cache_bytes"),
    ],
  },
  ...PROCESS_PLOTS,
  { title: "Event loop delay", unit: "seconds", lines: [EVENT_LOOP_LINE] },
];

export const PROXY_FIGURES: ProductFigures = { figures, plots };
