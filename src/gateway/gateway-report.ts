/**
 * All that a gateway tells of itself at one moment: what its pages are made of. Plain numbers and names throughout, so that
 * it can be passed on and added up.
 */
import type { EndpointReport } from "../endpoints/endpoint-report.ts";
import type { EndpointTraffic } from "./endpoint-traffic.ts";

export interface GatewayReport {
  /** It has been asked to stop. */
  readonly draining: boolean;
  /** Clients connected now. */
  readonly connectionsOpen: number;
  /** How many may be connected at once. */
  readonly connectionsMax: number;
  /** Clients accepted since the start. */
  readonly connectionsTotal: number;
  /** Clients reset because too many were connected. */
  readonly connectionsRefused: number;
  /** Clients closed because no endpoint could be reached. */
  readonly connectionsFailed: number;
  /** The members that clients are sent to. */
  readonly endpoints: readonly EndpointReport[];
  /** Of those, and of members that are not listed any more while clients are connected to them. */
  readonly traffic: readonly EndpointTraffic[];
  /** Dials of listed members that failed, by name. */
  readonly dialFailures: Readonly<Record<string, number>>;
}
