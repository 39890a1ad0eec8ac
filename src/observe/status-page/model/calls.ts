/**
 * Calls as the gRPC metrics tell of them: rates, failures and latencies, of all and of each method.
 *
 * Latencies of all are those of unary calls: a stream that has been open for a day says nothing of how long one waits.
 */
import type { Exposition } from "./exposition.ts";
import type { Increases } from "./increases.ts";
import { bucketsOf, quantileOf } from "./quantile.ts";

export const STARTED = "grpc_server_started_total";
export const HANDLED = "grpc_server_handled_total";
export const BUCKETS = "grpc_server_handling_seconds_bucket";

/** Methods that are listed: those with the most calls. */
const METHODS_MAX = 40;

/** A method with its calls. */
export interface MethodCalls {
  /** `KV/Range`; the package is left out. */
  readonly method: string;
  /** `unary`, `server_stream` … */
  readonly type: string;
  /** Since the proxy's start. */
  readonly total: number;
  /** In the last minute; null before there was one to look at. */
  readonly perSecond: number | null;
  readonly failedPerSecond: number | null;
  /** Seconds, in the last minute; null without a call that ended in it. */
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/** How many of the calls that ended did not end well, in a second; null when none is counted. */
export function failureRate(increases: Increases | null): number | null {
  const all = increases?.rate(HANDLED) ?? null;
  return all === null ? null : all - (increases?.rate(HANDLED, { grpc_code: "OK" }) ?? 0);
}

/** A quantile of the latency of unary calls, in seconds. */
export function unaryLatency(quantile: number, increases: Increases | null): number | null {
  const unary = [...(increases?.samples(BUCKETS) ?? [])].filter(
    ({ labels }) => labels["grpc_type"] === "unary",
  );
  return quantileOf(quantile, bucketsOf(unary));
}

/** Every method that was called, those with the most calls in the last minute first. */
export function methodCalls(now: Exposition, minute: Increases | null): MethodCalls[] {
  const methods = new Map<string, MethodCalls>();
  for (const { labels } of now.series(STARTED).values()) {
    const { grpc_type: type = "", grpc_service: service = "", grpc_method: name = "" } = labels;
    const where = { grpc_type: type, grpc_service: service, grpc_method: name };
    const total = now.sum(STARTED, where) ?? 0;
    const method = `${service.slice(service.lastIndexOf(".") + 1)}/${name}`;
    const key = `${service}/${name} ${type}`;
    if (total === 0 || methods.has(key)) continue;
    const handled = minute?.rate(HANDLED, where) ?? null;
    const succeeded = minute?.rate(HANDLED, { ...where, grpc_code: "OK" }) ?? 0;
    const ofMethod = [...(minute?.samples(BUCKETS) ?? [])].filter(({ labels: of }) =>
      Object.entries(where).every(([label, text]) => of[label] === text),
    );
    const buckets = bucketsOf(ofMethod);
    methods.set(key, {
      method,
      type,
      total,
      perSecond: minute?.rate(STARTED, where) ?? null,
      failedPerSecond: handled === null ? null : handled - succeeded,
      p50: quantileOf(0.5, buckets),
      p95: quantileOf(0.95, buckets),
      p99: quantileOf(0.99, buckets),
    });
  }
  return [...methods.values()]
    .sort((a, b) => (b.perSecond ?? 0) - (a.perSecond ?? 0) || b.total - a.total)
    .slice(0, METHODS_MAX);
}
