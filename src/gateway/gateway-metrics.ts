/**
 * The metrics of a gateway: their names, and where each value comes from.
 * Stands between its report and the page. All are `etcdproxy_gateway_…`, in base units, beside those of the process. It is
 * loaded when the page is first asked for: the library behind it is not needed before.
 */
import { answers } from "../endpoints/endpoint-json.ts";
import { type LabelledValue, Metrics } from "../observe/metrics.ts";
import { addProcessMetrics } from "../observe/process-metrics.ts";
import type { EndpointTraffic } from "./endpoint-traffic.ts";
import type { GatewayReport } from "./gateway-report.ts";

type Labelled<Label extends string> = Iterable<LabelledValue<Label>>;

/** Makes the metrics; their values are read from `report` whenever the page is made. */
export function gatewayMetrics(report: () => GatewayReport): Metrics {
  const metrics = new Metrics();
  addConnections(metrics, report);
  addEndpoints(metrics, report);
  addDials(metrics, report);
  addTraffic(metrics, report);
  addProcessMetrics(metrics, () => report().draining);
  return metrics;
}

function addConnections(metrics: Metrics, report: () => GatewayReport): void {
  metrics.gauge(
    "etcdproxy_gateway_client_connections",
    "Clients that are connected.",
    () => report().connectionsOpen,
  );
  metrics.gauge(
    "etcdproxy_gateway_client_connections_max",
    "Clients that may be connected at once: --max-connections, or less where the limit of open files is lower.",
    () => report().connectionsMax,
  );
  metrics.counter(
    "etcdproxy_gateway_client_connections_total",
    "Clients that have connected.",
    () => report().connectionsTotal,
  );
  metrics.counter(
    "etcdproxy_gateway_client_connections_refused_total",
    "Clients that were reset at once because too many were connected.",
    () => report().connectionsRefused,
  );
  metrics.counter(
    "etcdproxy_gateway_client_connections_failed_total",
    "Clients that were closed because no endpoint could be reached.",
    () => report().connectionsFailed,
  );
}

function addEndpoints(metrics: Metrics, report: () => GatewayReport): void {
  metrics.gauges(
    "etcdproxy_gateway_endpoint_usable",
    "1 for endpoints that answer, as far as is known.",
    ["endpoint"],
    (): Labelled<"endpoint"> =>
      report().endpoints.map((known) => ({
        labels: { endpoint: known.endpoint.name },
        value: Number(answers(known)),
      })),
    "max",
  );
  metrics.gauges(
    "etcdproxy_gateway_endpoint_check_duration_seconds",
    "The mean time that endpoints take to answer a health check.",
    ["endpoint"],
    function* (): Labelled<"endpoint"> {
      for (const { endpoint, latencyMs } of report().endpoints) {
        if (latencyMs !== null) yield { labels: { endpoint: endpoint.name }, value: latencyMs / 1000 };
      }
    },
    "max",
  );
  metrics.counters(
    "etcdproxy_gateway_endpoint_dial_failures_total",
    "Dials of endpoints that failed.",
    ["endpoint"],
    function* (): Labelled<"endpoint"> {
      for (const [endpoint, value] of Object.entries(report().dialFailures)) {
        yield { labels: { endpoint }, value };
      }
    },
  );
}

function addDials(metrics: Metrics, report: () => GatewayReport): void {
  metrics.durations(
    "etcdproxy_gateway_endpoint_dial_duration_seconds",
    "How long it took to connect clients to endpoints, in seconds; dials that failed are not among them.",
    ["endpoint"],
    () => report().traffic.map(({ endpoint, dials }) => ({ labels: { endpoint }, durations: dials })),
  );
}

function addTraffic(metrics: Metrics, report: () => GatewayReport): void {
  const ofEach = (read: (traffic: EndpointTraffic) => number) =>
    function* (): Labelled<"endpoint"> {
      for (const traffic of report().traffic) {
        yield { labels: { endpoint: traffic.endpoint }, value: read(traffic) };
      }
    };
  metrics.gauges(
    "etcdproxy_gateway_endpoint_connections",
    "Clients that are connected to endpoints.",
    ["endpoint"],
    ofEach(({ connectionsOpen }) => connectionsOpen),
  );
  metrics.counters(
    "etcdproxy_gateway_endpoint_connections_total",
    "Clients that have been connected to endpoints.",
    ["endpoint"],
    ofEach(({ connectionsTotal }) => connectionsTotal),
  );
  metrics.counters(
    "etcdproxy_gateway_endpoint_transferred_bytes_total",
    "Bytes that were received for the other side.",
    ["endpoint", "direction"],
    function* (): Labelled<"endpoint" | "direction"> {
      for (const { endpoint, bytesToMember, bytesToClients } of report().traffic) {
        yield { labels: { endpoint, direction: "to_member" }, value: bytesToMember };
        yield { labels: { endpoint, direction: "to_clients" }, value: bytesToClients };
      }
    },
  );
  metrics.counters(
    "etcdproxy_gateway_endpoint_closed_connections_total",
    "Connections that the gateway has ended: because the endpoint was found dead, or nothing moved (--idle-timeout).",
    ["endpoint", "reason"],
    function* (): Labelled<"endpoint" | "reason"> {
      for (const { endpoint, resetAsDead, closedAsIdle } of report().traffic) {
        yield { labels: { endpoint, reason: "endpoint_dead" }, value: resetAsDead };
        yield { labels: { endpoint, reason: "idle" }, value: closedAsIdle };
      }
    },
  );
}
