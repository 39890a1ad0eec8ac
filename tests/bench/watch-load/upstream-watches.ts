/**
 * How many watches etcd has, as its own metrics tell: those of clients and of proxies alike.
 */

/** @param etcdAddress `host:port` of a member. @throws Error when its metrics lack the figure. */
export async function upstreamWatches(etcdAddress: string): Promise<number> {
  const metrics = await (await fetch(`http://${etcdAddress}/metrics`)).text();
  const watchers = /^etcd_debugging_mvcc_watcher_total (\S+)$/m.exec(metrics)?.[1];
  if (watchers === undefined) throw new Error(`the metrics of ${etcdAddress} tell no number of watches`);
  return Number(watchers);
}
