/** What the page shows of the process, whichever product it runs. */
import { type Line, type PlotPlan, rateLine } from "./figures.ts";

/** The longest that the event loop was held up lately, of all workers. */
export const EVENT_LOOP_LINE: Line = {
  key: "event-loop",
  name: "longest, last half minute",
  read: ({ now }) => now.max("etcdproxy_event_loop_delay_seconds"),
};

export const PROCESS_PLOTS: readonly PlotPlan[] = [
  {
    title: "Processor",
    unit: "part",
    lines: [rateLine("processor", "of one core", "process_cpu_seconds_total")],
  },
  {
    title: "Memory",
    unit: "bytes",
    lines: [{ key: "memory", name: "resident", read: ({ now }) => now.max("process_resident_memory_bytes") }],
  },
];

/** When the process started, in milliseconds since 1970; null when it does not say so. */
export const STARTED_AT = "process_start_time_seconds";
