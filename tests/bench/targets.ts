/**
 * What etcdproxy has to reach, as data: each target is a quantity of ours, or its multiple of another
 * contender's, and a bound. The names are those of the measurements in `kv.ts`, `watch.ts`, `lease.ts`,
 * `gateway.ts`, `tls.ts` and `idle.ts`.
 */
import type { Quantity } from "./figures.ts";
import type { ContenderName } from "./measurement.ts";

export interface Target {
  readonly title: string;
  readonly measurement: string;
  readonly quantity: Quantity;
  /** Whose figure ours is divided by; ours itself is meant when absent. `best rival`: of those in `RIVALS` the best. */
  readonly against?: ContenderName | "best rival";
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
}

const KIB = 1024;
/** As fast as the best, as far as one run can tell. */
const LEVEL_PART = 0.05;

export const targets: readonly Target[] = [
  {
    title: "serializable reads of one key, to etcd's grpc-proxy",
    measurement: "range-serializable",
    quantity: "operationsPerSecond",
    against: "etcd",
    bound: { atLeast: 2.5 },
  },
  {
    title: "CPU of a serializable read of one key, to etcd's grpc-proxy",
    measurement: "range-serializable",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 1 / 6 },
  },
  {
    title: "reads of one key, to etcd direct",
    measurement: "range-one",
    quantity: "operationsPerSecond",
    against: "direct",
    bound: { atLeast: 2.5 },
  },
  {
    title: "reads of one key, to etcd's grpc-proxy",
    measurement: "range-one",
    quantity: "operationsPerSecond",
    against: "etcd",
    bound: { atLeast: 8 },
  },
  {
    title: "reads of distinct keys, to etcd's grpc-proxy",
    measurement: "range-distinct",
    quantity: "operationsPerSecond",
    against: "etcd",
    bound: { atLeast: 2.3 },
  },
  {
    title: "reads of distinct keys, to etcd direct",
    measurement: "range-distinct",
    quantity: "operationsPerSecond",
    against: "direct",
    bound: { atLeast: 0.75 },
  },
  {
    title: "puts, to etcd's grpc-proxy",
    measurement: "put",
    quantity: "operationsPerSecond",
    against: "etcd",
    bound: { atLeast: 1.7 },
  },
  {
    title: "CPU of a read of one key, to etcd's grpc-proxy",
    measurement: "range-one",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 0.2 },
  },
  {
    title: "CPU of a read of distinct keys, to etcd's grpc-proxy",
    measurement: "range-distinct",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 0.2 },
  },
  {
    title: "CPU of a put, to etcd's grpc-proxy",
    measurement: "put",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 0.2 },
  },
  ...watchTargets(),
  {
    title: "5000 leases: CPU of a heartbeat, to etcd's grpc-proxy",
    measurement: "lease-paced",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 1 / 3 },
  },
  {
    title: "5000 leases: heartbeats that are not answered, in percent",
    measurement: "lease-paced",
    quantity: "missingPercent",
    bound: { atMost: 0 },
  },
  {
    title: "5000 leases: LeaseKeepAlive streams open at etcd",
    measurement: "lease-paced",
    quantity: "upstreamStreams",
    bound: { atMost: 1 },
  },
  ...gatewayTargets(),
  {
    title: "gateway: CPU of a request, to etcd's gateway",
    measurement: "gateway-range",
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 1 },
  },
  ...tlsTargets(),
  {
    title: "gateway: memory of an idle connection",
    measurement: "idle-gateway",
    quantity: "bytesPerConnection",
    bound: { atMost: 20 * KIB },
  },
  {
    title: "grpc-proxy: memory of an idle connection",
    measurement: "idle-grpc-proxy",
    quantity: "bytesPerConnection",
    bound: { atMost: 20 * KIB },
  },
  {
    title: "gateway: start to ready",
    measurement: "start-gateway",
    quantity: "startMs",
    bound: { atMost: 100 },
  },
  {
    title: "grpc-proxy: start to ready",
    measurement: "start-grpc-proxy",
    quantity: "startMs",
    bound: { atMost: 100 },
  },
];

/** Of watches: at least 5 times the events, at most a quarter of the CPU and memory, no later. */
function watchTargets(): Target[] {
  const loads: readonly (readonly [measurement: string, title: string, burst: boolean])[] = [
    ["watch-one-key-burst", "watchers of one key, bursts", true],
    ["watch-one-key-paced", "watchers of one key, paced", false],
    ["watch-ranges-burst", "watchers of 100 ranges, bursts", true],
    ["watch-ranges-paced", "watchers of 100 ranges, paced", false],
  ];
  const fanOut = loads.flatMap(([measurement, title, burst]): Target[] => {
    const target = (what: string, quantity: Quantity, bound: Target["bound"]): Target => ({
      title: `${title}: ${what}, to etcd's grpc-proxy`,
      measurement,
      quantity,
      against: "etcd",
      bound,
    });
    return [
      // Paced, both deliver what is put.
      ...(burst ? [target("events delivered per second", "operationsPerSecond", { atLeast: 5 })] : []),
      target("CPU of an event", "proxyCpuMicros", { atMost: 0.25 }),
      target("p99 of delivery", "p99Micros", { atMost: 1 }),
    ];
  });
  return [
    ...fanOut,
    {
      title: "memory of a watcher, to etcd's grpc-proxy",
      measurement: "watch-memory",
      quantity: "bytesPerWatcher",
      against: "etcd",
      bound: { atMost: 0.25 },
    },
    {
      title: '10 000 watches of "now" on one range, until all are open',
      measurement: "watch-create",
      quantity: "createSeconds",
      bound: { atMost: 2 },
    },
  ];
}

/**
 * Of TLS: level with etcd's grpc-proxy for a second of CPU, so that no operation takes more of it. Rates are not bound:
 * the load program, whose side of a handshake costs more, fills its core first.
 */
function tlsTargets(): Target[] {
  const loads: readonly (readonly [measurement: string, operation: string])[] = [
    ["tls-handshakes", "a handshake"],
    ["tls-handshakes-mutual", "a handshake with client certificates"],
    ["tls-handshakes-revocations", "a handshake with client certificates and a revocation list"],
    ["tls-range-serializable", "a serializable read"],
    ["tls-range-one", "a read"],
    ["tls-put", "a put"],
    ["tls-large", "large answers"],
    ["tls-members-range-one", "a read over TLS to etcd"],
    ["tls-members-put", "a put over TLS to etcd"],
    ["tls-members-large", "large answers over TLS to etcd"],
  ];
  return loads.map(([measurement, operation]) => ({
    title: `TLS: CPU of ${operation}, to etcd's grpc-proxy`,
    measurement,
    quantity: "proxyCpuMicros",
    against: "etcd",
    bound: { atMost: 1 },
  }));
}

/**
 * Of the gateway, against the best of etcd's, HAProxy and nginx: level in throughput and latency, ahead in connections, and
 * not much more CPU for a byte than who splices in the kernel.
 */
function gatewayTargets(): Target[] {
  const target = (measurement: string, what: string, quantity: Quantity, bound: Target["bound"]): Target => ({
    title: `gateway: ${what}, to the best other gateway`,
    measurement,
    quantity,
    against: "best rival",
    bound,
  });
  const bulk: readonly (readonly [measurement: string, what: string])[] = [
    ["download", "bulk download on one connection"],
    ["download-4", "bulk download on 4 connections"],
    ["upload", "bulk upload on one connection"],
    ["upload-4", "bulk upload on 4 connections"],
  ];
  return [
    ...bulk.flatMap(([measurement, what]) => [
      target(measurement, what, "operationsPerSecond", { atLeast: 1 - LEVEL_PART }),
      target(measurement, `CPU of a byte, ${what}`, "proxyCpuMicros", { atMost: 1.3 }),
    ]),
    target("connections", "connections per second", "operationsPerSecond", { atLeast: 1 }),
    target("gateway-one-at-a-time", "median latency of one request at a time", "p50Micros", {
      atMost: 1 + LEVEL_PART,
    }),
    target("gateway-range", "median latency under load", "p50Micros", { atMost: 1 + LEVEL_PART }),
  ];
}
