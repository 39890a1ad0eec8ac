/**
 * What the gateway counts, as a plain object that a metrics page can read at any time.
 */

export interface GatewayStats {
  /** Clients connected now. */
  readonly connectionsOpen: number;
  /** Clients accepted since the start. */
  connectionsTotal: number;
  /** Clients reset because too many were connected. */
  readonly connectionsRefused: number;
  /** Clients closed because no endpoint could be reached. */
  connectionsFailed: number;
  /** Bytes received from clients. */
  readonly bytesUpstream: number;
  /** Bytes received from members. */
  readonly bytesDownstream: number;
  /** Dials that failed, by the endpoint's name. */
  readonly dialFailures: Map<string, number>;
}
