/**
 * The gateway's pages by path: `/health`, its metrics, and what is known of each endpoint.
 * Stands between the gateway's report and the listener of `--metrics-addr`; nothing is made before it is asked for.
 */
import { answers, endpointJson } from "../endpoints/endpoint-json.ts";
import type { Metrics } from "../observe/metrics.ts";
import {
  DRAINING,
  healthAnswer,
  madeOnce,
  type MakePage,
  type Page,
  type Pages,
  textPage,
} from "../observe/page.ts";
import type { GatewayReport } from "./gateway-report.ts";

export interface GatewayPagesOptions {
  readonly report: () => GatewayReport;
  /** Whether the gateway is about to stop: it is not ready then, however well its endpoints are. */
  readonly draining: () => boolean;
}

export function gatewayPages({ report, draining }: GatewayPagesOptions): Pages {
  const metrics = madeOnce(metricsPage(report));
  const pages = new Map<string, MakePage>([
    ["/health", async () => health(report(), draining())],
    ["/metrics", metrics],
    // Under the paths of the grpc-proxy too, so that both are asked in the same way.
    ["/proxy/metrics", metrics],
    ["/proxy/endpoints", async () => endpointsPage(report())],
  ]);
  return (path) => pages.get(path);
}

/** Healthy: a client that connects now will reach somebody, as far as is known. */
function health({ endpoints }: GatewayReport, draining: boolean): Page {
  if (draining) return healthAnswer(DRAINING);
  if (endpoints.some(answers)) return healthAnswer("");
  const reasons = endpoints.map(
    ({ endpoint, state, reason }) => `${endpoint.name}: ${reason === undefined ? state : reason}`,
  );
  return healthAnswer(`no endpoint can be used: ${reasons.join(", ")}`);
}

function endpointsPage({ endpoints, traffic }: GatewayReport): Page {
  const connections = new Map(traffic.map(({ endpoint, connectionsOpen }) => [endpoint, connectionsOpen]));
  const body = {
    endpoints: endpoints.map((known) => ({
      ...endpointJson(known),
      connections: connections.get(known.endpoint.name) ?? 0,
    })),
  };
  return textPage(200, `${JSON.stringify(body)}\n`, "application/json");
}

function metricsPage(report: () => GatewayReport): MakePage {
  let loading: Promise<Metrics> | undefined;
  /** What the page is made of: one look at all connections, not one for each metric. */
  let looked: GatewayReport;
  const load = async (): Promise<Metrics> => {
    const { gatewayMetrics } = await import("./gateway-metrics.ts");
    return gatewayMetrics(() => looked);
  };
  return async () => {
    loading ??= load();
    const metrics = await loading;
    looked = report();
    return textPage(200, await metrics.text(), metrics.contentType);
  };
}
