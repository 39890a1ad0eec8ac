/**
 * The metrics of the process as a whole, beside those of the product that it runs.
 */
import type { Metrics } from "./metrics.ts";

/** What every program that Prometheus reads tells, under the names that are usual for it. */
export function addProcessMetrics(metrics: Metrics): void {
  metrics.counter(
    "process_cpu_seconds_total",
    "Processor time used, in seconds.",
    () => {
      const { user, system } = process.cpuUsage(); // microseconds
      return (user + system) / 1_000_000;
    },
    "max",
  );
  metrics.gauge("process_resident_memory_bytes", "Memory held.", () => process.memoryUsage.rss(), "max");
  const startedAtSeconds = performance.timeOrigin / 1000;
  metrics.gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
    () => startedAtSeconds,
    "min",
  );
}
