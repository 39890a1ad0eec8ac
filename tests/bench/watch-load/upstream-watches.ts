/**
 * How many watches etcd has, as its own metrics tell: those of clients and of proxies alike.
 */
import { MemberMetrics } from "../load/member-metrics.ts";

/** @param etcdAddress `host:port` of a member. @throws Error when its metrics lack the figure. */
export async function upstreamWatches(etcdAddress: string): Promise<number> {
  return (await MemberMetrics.read(etcdAddress)).gauge("etcd_debugging_mvcc_watcher_total");
}
