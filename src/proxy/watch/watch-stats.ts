/**
 * What the watch hub counts, for the metrics page.
 *
 * Two names are those of etcd's own proxy (`etcd_grpc_proxy_…`), with its meaning: how many watches and how many
 * deliveries etcd was spared.
 */
export class WatchStats {
  /** Client streams that are open. */
  clientStreams = 0;
  /** Watches that clients have open. */
  clientWatches = 0;
  /** Of these, how many are behind and wait to be replayed. */
  laggingWatches = 0;
  /** Watches open at the members, those that catch up among them. */
  upstreamWatches = 0;
  /** Watch calls open at the members. */
  upstreamStreams = 0;
  /** Catch-up watches that are open. */
  catchUps = 0;
  /** Events that members sent. */
  upstreamEvents = 0;
  /** Events that clients were sent. */
  deliveredEvents = 0;
  /** Times that a watch fell behind because its client did not read. */
  lagged = 0;
  /** Times that a watch was replayed from recent events or from a catch-up watch. */
  replays = 0;
  /** Upstream watches opened again after their stream or their member was lost. */
  resumed = 0;

  /** Client watches that ride on a watch that is open anyway: `etcd_grpc_proxy_watchers_coalescing_total`. */
  get watchersCoalescing(): number {
    return Math.max(0, this.clientWatches - this.upstreamWatches);
  }

  /** Deliveries that etcd did not have to make: `etcd_grpc_proxy_events_coalescing_total`. */
  get eventsCoalescing(): number {
    return Math.max(0, this.deliveredEvents - this.upstreamEvents);
  }
}
