/**
 * `/proxy/metrics`: the proxy's own metrics.
 *
 * The metrics and their library are loaded by the first request, so that they cost the start nothing.
 */
import type { Metrics, MetricValues } from "../../observe/metrics.ts";
import type { MetricSources } from "../metrics/metric-sources.ts";
import { type Page, textPage } from "../../observe/page.ts";

/** The page of a whole process of several workers, as text; absent where this proxy is all there is. */
export type WholeMetrics = () => Promise<string>;

export class OwnMetrics {
  readonly #sources: MetricSources;
  readonly #whole: WholeMetrics | undefined;
  #loading: Promise<Metrics> | undefined;

  constructor(sources: MetricSources, whole?: WholeMetrics) {
    this.#sources = sources;
    this.#whole = whole;
  }

  async page(): Promise<Page> {
    const metrics = await this.#loaded();
    return textPage(200, await (this.#whole?.() ?? metrics.text()), metrics.contentType);
  }

  /** Of this proxy alone. */
  async values(): Promise<MetricValues> {
    return await (await this.#loaded()).values();
  }

  #loaded(): Promise<Metrics> {
    return (this.#loading ??= this.#load());
  }

  async #load(): Promise<Metrics> {
    const { proxyMetrics } = await import("../metrics/proxy-metrics.ts");
    return proxyMetrics(this.#sources);
  }
}

/** Makes the page of a process with one proxy. */
export function ownMetricsPage(sources: MetricSources): () => Promise<Page> {
  const metrics = new OwnMetrics(sources);
  return () => metrics.page();
}
