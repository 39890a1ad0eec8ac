/** The tables of endpoints and of what has happened to them, for either product. */
import {
  type EndpointsTold,
  lastFailure,
  type ToldEndpoint,
  type ToldEvent,
  toneOfState,
  wordedEvent,
} from "../model/endpoints-told.ts";
import { trafficOf } from "../model/gateway-figures.ts";
import type { Moment } from "../model/moment.ts";
import { ABSENT, clock, day, worded } from "../model/wording.ts";
import { type Cell, type Column, Table } from "./table.ts";

export type Product = "gateway" | "grpc-proxy";

const LATENCY: Column = { title: "Check latency", set: "number" };
const SHARE: Column = { title: "Priority / weight", set: "number" };
const FAILURE: Column = { title: "Last failure", set: "reason" };
const ENDPOINT: Column = { title: "Endpoint", set: "name" };
const STATE: Column = { title: "State", set: "narrow" };

const COLUMNS: Readonly<Record<Product, readonly Column[]>> = {
  "grpc-proxy": [ENDPOINT, STATE, { title: "In use", set: "narrow" }, LATENCY, SHARE, FAILURE],
  gateway: [
    ENDPOINT,
    STATE,
    { title: "Clients", set: "number" },
    { title: "To member", set: "number" },
    { title: "To clients", set: "number" },
    { title: "Dial failures", set: "number" },
    LATENCY,
    SHARE,
    FAILURE,
  ],
};

/** Restarts that the page has seen: it does not forget them with the proxy. */
const RESTARTS_MAX = 10;

export class EndpointTables {
  readonly #product: Product;
  readonly #endpoints: Table;
  readonly #events = new Table("events", [
    { title: "Time", set: "narrow" },
    ENDPOINT,
    { title: "Event", set: "narrow" },
    { title: "Reason", set: "reason" },
    { title: "Told by", set: "by" },
  ]);
  #restarts: readonly ToldEvent[] = [];

  constructor(product: Product) {
    this.#product = product;
    this.#endpoints = new Table("endpoints", COLUMNS[product]);
  }

  /** The proxy is another process than before. */
  restarted(timeMs: number): void {
    const restart = { timeMs, endpoint: "this proxy", kind: "restarted", reason: "", worker: null };
    this.#restarts = [restart, ...this.#restarts].slice(0, RESTARTS_MAX);
  }

  show({ endpoints, events }: EndpointsTold, moment: Moment): void {
    const rows = endpoints.map((told) => ({
      key: told.endpoint,
      cells: this.#cellsOf(told, events, moment),
    }));
    this.#endpoints.show(rows, "No endpoint");
    this.#showEvents([...this.#restarts, ...events].toSorted((a, b) => b.timeMs - a.timeMs));
  }

  #cellsOf(told: ToldEndpoint, events: readonly ToldEvent[], moment: Moment): (Cell | string)[] {
    const failure = lastFailure(told, events);
    const ended = failure === null || failure.timeMs === null ? "" : `, at ${clock(failure.timeMs)}`;
    const common = [
      worded(told.latencySeconds, "seconds"),
      `${told.priority ?? ABSENT} / ${told.weight ?? ABSENT}`,
      failure === null ? ABSENT : `${failure.reason}${ended}`,
    ];
    const first = [told.endpoint, { text: told.state, tone: toneOfState(told.state) }];
    if (this.#product === "grpc-proxy") return [...first, told.inUse ? "in use" : ABSENT, ...common];
    const { toMember, toClients, dialFailures } = trafficOf(told.endpoint, moment);
    return [
      ...first,
      worded(told.connections, "count"),
      worded(toMember, "bytesPerSecond"),
      worded(toClients, "bytesPerSecond"),
      worded(dialFailures, "count"),
      ...common,
    ];
  }

  #showEvents(events: readonly ToldEvent[]): void {
    document.body.classList.toggle(
      "workers",
      events.some(({ worker }) => worker !== null),
    );
    const seen = new Map<string, number>();
    const today = day(Date.now());
    const rows = events.map(({ timeMs, endpoint, kind, reason, worker }) => {
      const same = `${timeMs} ${endpoint} ${kind} ${worker}`;
      const count = (seen.get(same) ?? 0) + 1;
      seen.set(same, count);
      const { words, tone } = wordedEvent(kind);
      const date = day(timeMs);
      return {
        key: `${same} ${count}`,
        cells: [
          date === today ? clock(timeMs) : `${date} ${clock(timeMs)}`,
          endpoint,
          { text: words, tone },
          reason,
          worker === null ? "" : `worker ${worker}`,
        ],
      };
    });
    this.#events.show(rows, "Nothing yet");
  }
}
