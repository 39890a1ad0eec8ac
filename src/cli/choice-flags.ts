/**
 * The flags that say how a member is chosen: `--balancer`, `--endpoint-weights` and `--health-check-*`.
 * Stands between their text and what both products take; an error names the flag.
 */
import type { Balancer } from "../endpoints/balancer.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { parseEndpoints } from "../endpoints/endpoint.ts";
import type { HealthCheckTimes } from "../endpoints/health-checks.ts";
import { withoutUserInfo } from "../net/address.ts";
import { quoted, usageError } from "./command-line-error.ts";

export interface ChoiceFlags {
  readonly balancer: Balancer;
  readonly endpointWeights: readonly string[];
  readonly healthCheckIntervalMs: number;
  readonly healthCheckTimeoutMs: number;
  readonly discoverySrv?: string;
}

export interface ChoiceOptions {
  readonly balancer: Balancer;
  /** Null: endpoints are not checked. */
  readonly healthChecks: HealthCheckTimes | null;
}

const WEIGHT_MAX = 65_535; // As in an SRV record.
const WEIGHT_EXAMPLE = "infra0.example.com=3";

/** How members are chosen and checked. Throws `CommandLineError`. */
export function choiceOptions(flags: ChoiceFlags): ChoiceOptions {
  const { balancer } = flags;
  if (balancer === "least-latency" && flags.healthCheckIntervalMs === 0) {
    throw usageError(
      "--balancer=least-latency needs health checks, which measure it: leave --health-check-interval out",
    );
  }
  if (flags.discoverySrv && flags.endpointWeights.length > 0) {
    throw usageError("--endpoint-weights is for --endpoints: SRV records bring weights of their own");
  }
  const healthChecks =
    flags.healthCheckIntervalMs === 0
      ? null
      : { intervalMs: flags.healthCheckIntervalMs, timeoutMs: flags.healthCheckTimeoutMs };
  return { balancer, healthChecks };
}

/** The endpoints with the weights that `--endpoint-weights` gives them. Throws `CommandLineError`. */
export function withWeights(endpoints: readonly Endpoint[], flags: ChoiceFlags): readonly Endpoint[] {
  if (flags.endpointWeights.length === 0) return endpoints;
  const weights = new Map(flags.endpointWeights.flatMap((item) => item.split(",")).map(readWeight));
  for (const name of weights.keys()) {
    if (endpoints.some((endpoint) => endpoint.name === name)) continue;
    throw usageError(`--endpoint-weights names ${name}, which --endpoints does not`);
  }
  return endpoints.map((endpoint) => ({
    ...endpoint,
    weight: weights.get(endpoint.name) ?? endpoint.weight,
  }));
}

function readWeight(item: string): [name: string, weight: number] {
  const at = item.lastIndexOf("=");
  const weightText = item.slice(at + 1).trim();
  if (at <= 0 || !/^\d{1,5}$/.test(weightText) || Number(weightText) > WEIGHT_MAX) {
    throw usageError(
      `--endpoint-weights ${quoted(withoutUserInfo(item))}: write an endpoint and a number from 0 to ${WEIGHT_MAX}, such as ${WEIGHT_EXAMPLE}`,
    );
  }
  const [endpoint] = parseEndpoints(item.slice(0, at), "--endpoint-weights");
  return [endpoint!.name, Number(weightText)];
}
