/** What a grpc-proxy has to do with others of its kind in the same process: one of several workers behind one port. */
import type { LeaseSlot } from "./cluster/lease-slot.ts";
import type { CacheNotices } from "./kv/cache-notices.ts";
import type { WholeMetrics } from "./pages/own-metrics.ts";

export interface WorkerPart {
  /** Its number among the workers, from 0. */
  readonly index: number;
  /** What its cache tells those of the others, and hears from them. */
  readonly notices: CacheNotices;
  /** Makes `/proxy/metrics` of all workers. */
  readonly wholeMetrics: WholeMetrics;
  /** It keeps the registration of the process. */
  readonly registers: boolean;
  /** The lease behind that, for who takes over from it. */
  readonly lease: LeaseSlot;
}
