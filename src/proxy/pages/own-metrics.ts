/**
 * `/proxy/metrics`: the proxy's own metrics.
 *
 * The metrics and their library are loaded by the first request, so that they cost the start nothing.
 */
import type { Metrics } from "../../observe/metrics.ts";
import type { MetricSources } from "../metrics/metric-sources.ts";
import { type MakePage, textPage } from "../../observe/page.ts";

export function ownMetricsPage(sources: MetricSources): MakePage {
  let loading: Promise<Metrics> | undefined;
  const load = async (): Promise<Metrics> => {
    const { proxyMetrics } = await import("../metrics/proxy-metrics.ts");
    return proxyMetrics(sources);
  };
  return async () => {
    loading ??= load();
    const metrics = await loading;
    return textPage(200, await metrics.text(), metrics.contentType);
  };
}
