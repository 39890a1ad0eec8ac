/** What the page shows of a gateway. */
import type { Exposition, Labels } from "./exposition.ts";
import {
  type Figure,
  gaugeLine,
  type Line,
  type PlotPlan,
  type ProductFigures,
  rateLine,
} from "./figures.ts";
import type { Moment } from "./moment.ts";
import { PROCESS_PLOTS } from "./process-figures.ts";
import { worded } from "./wording.ts";

/** Every gateway tells it. */
export const GATEWAY_CONNECTIONS = "etcdproxy_gateway_client_connections";
const CONNECTIONS_TOTAL = "etcdproxy_gateway_client_connections_total";
const TRANSFERRED = "etcdproxy_gateway_endpoint_transferred_bytes_total";
const DIAL_FAILURES = "etcdproxy_gateway_endpoint_dial_failures_total";
const REFUSED = "etcdproxy_gateway_client_connections_refused_total";
const FAILED = "etcdproxy_gateway_client_connections_failed_total";
const CLOSED = "etcdproxy_gateway_endpoint_closed_connections_total";

const TO_MEMBER: Labels = { direction: "to_member" };
const TO_CLIENTS: Labels = { direction: "to_clients" };

/** Clients that were not connected to anybody. */
const turnedAway = (told: Pick<Exposition, "sum"> | null): number =>
  (told?.sum(REFUSED) ?? 0) + (told?.sum(FAILED) ?? 0);

function bytesFigure(key: string, title: string, where: Labels): Figure {
  return {
    key,
    title,
    read: ({ now, last }) => ({
      value: worded(last?.rate(TRANSFERRED, where) ?? null, "bytesPerSecond"),
      detail: `${worded(now.sum(TRANSFERRED, where), "bytes")} in all`,
    }),
  };
}

const sinceStart = (lately: number, overall: number): { value: string; detail: string } => ({
  value: worded(lately, "count"),
  detail: `last minute · ${worded(overall, "count")} in all`,
});

const figures: readonly Figure[] = [
  {
    key: "connections",
    title: "Client connections",
    read: ({ now }) => ({
      value: worded(now.sum(GATEWAY_CONNECTIONS), "count"),
      detail: `of ${worded(now.sum("etcdproxy_gateway_client_connections_max"), "count")} at most`,
    }),
  },
  {
    key: "accepted",
    title: "New connections",
    read: ({ now, minute }) => ({
      value: worded(minute?.rate(CONNECTIONS_TOTAL) ?? null, "perSecond"),
      detail: `last minute · ${worded(now.sum(CONNECTIONS_TOTAL), "count")} in all`,
    }),
  },
  bytesFigure("to-members", "To members", TO_MEMBER),
  bytesFigure("to-clients", "To clients", TO_CLIENTS),
  {
    key: "dial-failures",
    title: "Dial failures",
    read: ({ now, minute }) => sinceStart(minute?.sum(DIAL_FAILURES) ?? 0, now.sum(DIAL_FAILURES) ?? 0),
  },
  {
    key: "turned-away",
    title: "Clients turned away",
    read: ({ now, minute }) => sinceStart(turnedAway(minute), turnedAway(now)),
  },
];

const turnedAwayLine: Line = {
  key: "turned-away",
  name: "turned away",
  read: ({ last }) => last && turnedAway(last) / last.seconds,
};

const plots: readonly PlotPlan[] = [
  {
    title: "Client connections",
    unit: "count",
    lines: [gaugeLine("connections", "open", GATEWAY_CONNECTIONS)],
  },
  {
    title: "Bytes",
    unit: "bytesPerSecond",
    lines: [
      rateLine("bytes-members", "to members", TRANSFERRED, TO_MEMBER),
      rateLine("bytes-clients", "to clients", TRANSFERRED, TO_CLIENTS),
    ],
  },
  {
    title: "Clients that come",
    unit: "perSecond",
    lines: [rateLine("accepted", "connected", CONNECTIONS_TOTAL), turnedAwayLine],
  },
  {
    title: "Dials that failed, clients cut",
    unit: "perSecond",
    lines: [
      rateLine("dial-failures", "dials", DIAL_FAILURES),
      rateLine("closed-dead", "cut: dead", CLOSED, { reason: "endpoint_dead" }),
      rateLine("closed-idle", "closed: idle", CLOSED, { reason: "idle" }),
    ],
  },
  ...PROCESS_PLOTS,
];

export const GATEWAY_FIGURES: ProductFigures = { figures, plots };

/** What passes between clients and one endpoint. */
export interface EndpointTraffic {
  readonly toMember: number | null;
  readonly toClients: number | null;
  readonly dialFailures: number | null;
}

/** Bytes in a second since the last look, and failures since the start. */
export function trafficOf(endpoint: string, { now, last }: Moment): EndpointTraffic {
  return {
    toMember: last?.rate(TRANSFERRED, { endpoint, ...TO_MEMBER }) ?? null,
    toClients: last?.rate(TRANSFERRED, { endpoint, ...TO_CLIENTS }) ?? null,
    dialFailures: now.sum(DIAL_FAILURES, { endpoint }),
  };
}
