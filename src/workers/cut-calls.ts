/**
 * Calls that a worker took with it when it died: nobody has counted their end.
 *
 * Stands between what the worker counted last and the sums, so that there, too, calls that began are those that ended and those
 * that are open. Clients see their connection end, and take that for UNAVAILABLE.
 */
import type { MetricValues } from "../observe/metrics.ts";

const STARTED = "grpc_server_started_total";
const HANDLED = "grpc_server_handled_total";
const CUT = "Unavailable";

/** `counted` with an end for each call in it that began. How long those took is not known. */
export function withCutCalls(counted: MetricValues): MetricValues {
  const started = counted.find(({ name }) => name === STARTED);
  if (started === undefined) return counted;
  return counted.map((metric) => {
    if (metric.name !== HANDLED) return metric;
    const ended = new Map<string, number>();
    for (const { labels, value } of metric.values) {
      const method = methodOf(labels);
      ended.set(method, (ended.get(method) ?? 0) + value);
    }
    const cut = started.values
      .map(({ labels, value }) => ({
        labels: { ...labels, grpc_code: CUT },
        value: value - (ended.get(methodOf(labels)) ?? 0),
      }))
      .filter(({ value }) => value > 0);
    // Values of the same labels are summed with all others.
    return { ...metric, values: [...metric.values, ...cut] };
  });
}

function methodOf({ grpc_service, grpc_method }: Readonly<Partial<Record<string, string | number>>>): string {
  return `${grpc_service}/${grpc_method}`;
}
