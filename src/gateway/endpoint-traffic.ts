/**
 * What has passed between clients and one member, as a plain object that a metrics page can read at any time.
 */

import { DurationHistogram } from "../base/duration-histogram.ts";

export interface EndpointTraffic {
  /** The member's name. */
  readonly endpoint: string;
  /** Clients connected to it now. */
  connectionsOpen: number;
  /** Clients connected to it since the start. */
  connectionsTotal: number;
  /** Bytes that clients have sent for it. */
  bytesToMember: number;
  /** Bytes that it has sent for clients. */
  bytesToClients: number;
  /** Connections that were reset because it was found dead. */
  resetAsDead: number;
  /** Connections that were closed because nothing moved on them. */
  closedAsIdle: number;
  /** How long the dials took that clients were connected by. */
  readonly dials: DurationHistogram;
}

export function noTraffic(endpoint: string): EndpointTraffic {
  return {
    endpoint,
    connectionsOpen: 0,
    connectionsTotal: 0,
    bytesToMember: 0,
    bytesToClients: 0,
    resetAsDead: 0,
    closedAsIdle: 0,
    dials: new DurationHistogram(),
  };
}
