/**
 * The metrics of the process as a whole, beside those of the product that it runs.
 */
import packageJson from "../../package.json" with { type: "json" };
import { openFiles, openFilesMax } from "../net/file-limit.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import type { Metrics } from "./metrics.ts";

/**
 * What every program that Prometheus reads tells, under the names that are usual for it, and what both products tell.
 * @param draining whether the product has been asked to stop
 */
export function addProcessMetrics(metrics: Metrics, draining: () => boolean): void {
  metrics.gauges(
    "etcdproxy_build_info",
    "1, with the version of etcdproxy and that of the Bun inside it.",
    ["version", "bun"],
    () => [{ labels: { version: packageJson.version, bun: Bun.version }, value: 1 }],
    "max",
  );
  metrics.gauge(
    "etcdproxy_draining",
    "1 once it has been asked to stop: it takes no new clients, and waits for those that it has.",
    () => Number(draining()),
    "max",
  );
  const delay = new EventLoopDelay();
  metrics.gauge(
    "etcdproxy_event_loop_delay_seconds",
    "The longest that the event loop was held up in the last 15 to 30 seconds, of all workers; measured while somebody reads this page at least every two minutes.",
    () => delay.seconds(),
    "max",
  );
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
  metrics.gauge("process_open_fds", "Open files, connections among them.", openFiles, "max");
  metrics.gauge("process_max_fds", "The limit of open files.", () => openFilesMax(), "min");
  addStartTime(metrics);
}

/** When this thread started: the process, where it is the main one, which is always the first of those that tell. */
export function addStartTime(metrics: Metrics): void {
  const startedAtSeconds = performance.timeOrigin / 1000;
  metrics.gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
    () => startedAtSeconds,
    "min",
  );
}
