/**
 * The gateway's pages by path: `/health`, `/livez`, `/readyz`, its metrics, and what is known of each endpoint.
 * Stands between the gateway's report and the listener of `--metrics-addr`; nothing is made before it is asked for.
 */
import type { EndpointEvents } from "../endpoints/endpoint-events.ts";
import {
  answers,
  endpointJson,
  type BesideEndpoints,
  type EndpointsOnPage,
} from "../endpoints/endpoint-json.ts";
import { checkPages } from "../observe/check-pages.ts";
import { EVENT_LOOP_CHECK } from "../observe/liveness.ts";
import type { Metrics, MetricValues } from "../observe/metrics.ts";
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
  readonly events: Pick<EndpointEvents, "newest">;
  /** Of the same report; its own when absent. */
  readonly metrics?: OwnMetrics;
}

export function gatewayPages(options: GatewayPagesOptions): Pages {
  const { report, draining, events, metrics: own = new OwnMetrics(report) } = options;
  const metrics = madeOnce(() => own.page());
  const pages = new Map<string, MakePage>([
    ["/health", async () => health(report(), draining())],
    ["/metrics", metrics],
    // Under the paths of the grpc-proxy too, so that both are asked in the same way.
    ["/proxy/metrics", metrics],
    [
      "/proxy/endpoints",
      async () => endpointsPage(report(), { events: events.newest, draining: draining() }),
    ],
  ]);
  const livez = checkPages("/livez", [EVENT_LOOP_CHECK]);
  const readyz = checkPages("/readyz", [
    { name: "not_draining", problem: () => (draining() ? "the gateway is about to stop" : "") },
    { name: "endpoint", problem: () => endpointProblem(report()) },
  ]);
  return (path) => pages.get(path) ?? livez(path) ?? readyz(path);
}

function health(report: GatewayReport, draining: boolean): Page {
  return healthAnswer(draining ? DRAINING : endpointProblem(report));
}

/** "" when a client that connects now will reach somebody, as far as is known; else why not. */
function endpointProblem({ endpoints }: GatewayReport): string {
  if (endpoints.some(answers)) return "";
  const reasons = endpoints.map(
    ({ endpoint, state, reason }) => `${endpoint.name}: ${reason === undefined ? state : reason}`,
  );
  return `no endpoint can be used: ${reasons.join(", ")}`;
}

function endpointsPage({ endpoints, traffic }: GatewayReport, beside: BesideEndpoints): Page {
  const connections = new Map(traffic.map(({ endpoint, connectionsOpen }) => [endpoint, connectionsOpen]));
  const body: EndpointsOnPage = {
    endpoints: endpoints.map((known) => ({
      ...endpointJson(known),
      connections: connections.get(known.endpoint.name) ?? 0,
    })),
    ...beside,
  };
  return textPage(200, `${JSON.stringify(body)}\n`, "application/json");
}

/** The gateway's metrics, and their page. They and their library are loaded by the first who asks. */
export class OwnMetrics {
  readonly #report: () => GatewayReport;
  #loading: Promise<Metrics> | undefined;
  /** What they are made of: one look at all connections, not one for each metric. */
  #looked: GatewayReport | undefined;

  constructor(report: () => GatewayReport) {
    this.#report = report;
  }

  async page(): Promise<Page> {
    const metrics = await this.#current();
    return textPage(200, await metrics.text(), metrics.contentType);
  }

  async values(): Promise<MetricValues> {
    return await (await this.#current()).values();
  }

  async #current(): Promise<Metrics> {
    const metrics = await (this.#loading ??= this.#load());
    this.#looked = this.#report();
    return metrics;
  }

  async #load(): Promise<Metrics> {
    const { gatewayMetrics } = await import("./gateway-metrics.ts");
    return gatewayMetrics(() => this.#looked!);
  }
}
