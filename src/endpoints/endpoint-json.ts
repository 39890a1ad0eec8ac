/**
 * What is known of endpoints as JSON: the page `/proxy/endpoints` of both products.
 */
import type { EndpointEvent } from "./endpoint-events.ts";
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

/** An endpoint on a page of either product. */
export interface EndpointOnPage extends EndpointJson {
  /** The gateway's: clients that are connected to it. */
  readonly connections?: number;
  /** The grpc-proxy's: calls go to it. */
  readonly inUse?: boolean;
}

/** The page. */
export interface EndpointsOnPage {
  readonly endpoints: readonly EndpointOnPage[];
  /** What has happened to them lately, newest first. */
  readonly events: readonly EndpointEvent[];
  /** The product finishes what is under way, and then stops. */
  readonly draining: boolean;
}

/** What is on the page beside the endpoints. */
export type BesideEndpoints = Omit<EndpointsOnPage, "endpoints">;

/**
 * What several workers know, as one: of each endpoint the worst that any of them tells, since a client comes to any of
 * them, and what all of them have open there.
 */
export function endpointsOfAll(pages: readonly (readonly EndpointOnPage[])[]): EndpointOnPage[] {
  const byName = Map.groupBy(pages.flat(), ({ endpoint }) => endpoint);
  return [...byName.values()].map(oneOf);
}

/** As they are chosen. */
const FROM_BEST: readonly EndpointState[] = ["fit", "unfit", "silent", "failed"];

function oneOf(told: EndpointOnPage[]): EndpointOnPage {
  const worst = told.toSorted((a, b) => FROM_BEST.indexOf(b.state) - FROM_BEST.indexOf(a.state))[0]!;
  const measured = told.flatMap(({ latencySeconds }) => latencySeconds ?? []);
  const counted = told.flatMap(({ connections }) => connections ?? []);
  const used = told.flatMap(({ inUse }) => inUse ?? []);
  return {
    ...worst,
    latencySeconds: measured.length === 0 ? null : sum(measured) / measured.length,
    ...(counted.length === 0 ? {} : { connections: sum(counted) }),
    ...(used.length === 0 ? {} : { inUse: used.includes(true) }),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Whether somebody answers there, as far as is known. */
export function answers({ state }: EndpointReport): boolean {
  return state === "fit" || state === "unfit";
}
