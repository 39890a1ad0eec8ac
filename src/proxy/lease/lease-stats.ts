/** What the lease hub counts, for the metrics page. */
export class LeaseStats {
  /** Client streams that are open. */
  clientStreams = 0;
  /** LeaseKeepAlive calls open at the members. */
  upstreamStreams = 0;
  /** Leases with a heartbeat under way, those of each identity by themselves. */
  leases = 0;
  /** Heartbeats that clients sent. */
  clientHeartbeats = 0;
  /** Heartbeats sent to members, those sent again among them. */
  upstreamHeartbeats = 0;
  /** Heartbeats of clients that were carried by one that another client had asked for. */
  sharedHeartbeats = 0;
  /** Heartbeats sent to a member again, after their stream had ended. */
  resentHeartbeats = 0;
}
