/** What the page shows of the process, whichever product it runs. */
import { type Line, type PlotPlan, rateLine } from "./figures.ts";
import { bucketsOf, quantileOf } from "./quantile.ts";

const DELAY = "etcdproxy_event_loop_delay_seconds";

/** The worst that is told; of a histogram its 99th percentile. */
export const EVENT_LOOP_LINE: Line = {
  key: "event-loop",
  name: "delay",
  read: ({ now, soon }) =>
    now.max(DELAY) ?? quantileOf(0.99, bucketsOf(soon?.samples(`${DELAY}_bucket`) ?? [])),
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
