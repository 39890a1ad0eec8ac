/**
 * What is known of endpoints as JSON: the page `/proxy/endpoints` of both products.
 */
import type { EndpointReport, EndpointState } from "./endpoint-report.ts";

/** One endpoint on the page; further fields may be added. */
export interface EndpointJson {
  /** `host:port`. */
  readonly endpoint: string;
  readonly state: EndpointState;
  /** Why it is not fit, or failed last; empty when there is nothing to say. */
  readonly reason: string;
  /** The mean time that it takes to answer a check; null while none was answered. */
  readonly latencySeconds: number | null;
  readonly priority: number;
  readonly weight: number;
}

export function endpointJson({ endpoint, state, reason, latencyMs }: EndpointReport): EndpointJson {
  return {
    endpoint: endpoint.name,
    state,
    reason: reason ?? "",
    latencySeconds: latencyMs === null ? null : latencyMs / 1000,
    priority: endpoint.priority,
    weight: endpoint.weight,
  };
}

/** Whether somebody answers there, as far as is known. */
export function answers({ state }: EndpointReport): boolean {
  return state === "fit" || state === "unfit";
}
