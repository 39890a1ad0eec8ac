/**
 * Where the metrics of a grpc-proxy come from: what its parts count and hold anyway.
 * Stands between grpc-proxy.ts, which has the parts, and proxy-metrics.ts, which gives each value its name.
 */
import type { ByteCounts } from "../../grpc/byte-counts.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { MemberLoad } from "../../grpc/member-load.ts";
import type { BufferBudget } from "../../http2/buffer-budget.ts";
import type { LimitCount } from "../../observe/limit-log.ts";
import type { Expiry } from "../../tls/expiry.ts";
import type { MembershipStats } from "../cluster/membership.ts";
import type { ReadStats } from "../kv/read-stats.ts";
import type { LeaseStats } from "../lease/lease-stats.ts";
import type { Port } from "../port/port.ts";
import type { WatchStats } from "../watch/watch-stats.ts";
import type { CallCounts } from "./call-counts.ts";

/** Each is asked when the page is made; where a part is switched off, its numbers are 0. */
export interface MetricSources {
  readonly watches: () => Readonly<WatchStats>;
  readonly reads: () => Readonly<ReadStats>;
  readonly leases: () => Readonly<LeaseStats>;
  /** Null without `--resolver-prefix`. */
  readonly membership: (() => MembershipStats) | null;
  readonly buffers: Pick<BufferBudget, "heldBytes" | "bytesMax">;
  readonly channel: Pick<Channel, "connectionsOpen" | "reports" | "endpointInUse" | "waitingCalls"> & {
    readonly load: Pick<MemberLoad, "bytes" | "callsOpen">;
  };
  readonly calls: Pick<CallCounts, "rows" | "open">;
  /** From and to clients, on the listener that takes calls. */
  readonly clientBytes: Readonly<ByteCounts>;
  /** The proxy has been asked to stop. */
  readonly draining: () => boolean;
  /** The listeners that there are, by name: `clients`, `metrics`. */
  readonly listeners: () => Iterable<
    readonly [string, Pick<Port, "connectionCounts" | "connectionsTotal" | "connectionsRefused">]
  >;
  readonly limits: () => Iterable<Readonly<LimitCount>>;
  /** Of what is in use for TLS. */
  readonly expiries: () => Iterable<Expiry>;
}
