/**
 * The metrics of a process: what its workers tell, put together, with what is known of the workers themselves.
 *
 * Counters never go down: what a worker had counted when it was last asked goes on counting after it has died, and while it does
 * not answer. Of everything else only what is told now is part.
 */
import { Metrics, type MetricValues, pageTogether, valuesTogether } from "../observe/metrics.ts";
import { addStartTime } from "../observe/process-metrics.ts";
import { withCutCalls } from "./cut-calls.ts";

/** Names of the gauges that tell how many clients a worker has. */
const CLIENT_CONNECTIONS = ["etcdproxy_client_connections", "etcdproxy_gateway_client_connections"];

export class MetricSums {
  readonly #own = new Metrics();
  /** What each worker counted when it was last asked; null: nothing is known. */
  readonly #counted: (MetricValues | null)[];
  /** What those counted that have died. Put together one after the other: two may die at the same time. */
  #gone: Promise<MetricValues> = Promise.resolve([]);
  /** How often each has died. */
  readonly #deaths: number[];
  #told: readonly (MetricValues | null)[] = [];

  constructor(workers: number) {
    this.#counted = Array.from({ length: workers }, () => null);
    this.#deaths = Array.from({ length: workers }, () => 0);
    this.#addOwn();
  }

  /** The page; `ask` asks what each worker tells now, null where it does not answer. */
  async page(ask: () => Promise<readonly (MetricValues | null)[]>): Promise<string> {
    const deathsBefore = [...this.#deaths];
    const answers = await ask();
    // Who has answered and died since is counted among the dead: its values are not its successor's.
    const told = answers.map((values, worker) =>
      this.#deaths[worker] === deathsBefore[worker] ? values : null,
    );
    this.#told = told;
    const parts = told.map((values, worker) => {
      if (values === null) return this.#counted[worker] ?? [];
      this.#counted[worker] = values.filter(countsUp);
      return values;
    });
    // As of the same moment as `parts`: who dies from here on is among those.
    const gone = this.#gone;
    return await pageTogether([...parts, await gone, await this.#own.values()]);
  }

  /** A worker has died; its successor counts from 0. Resolves when its part is put together with that of the others. */
  async onDeath(worker: number): Promise<void> {
    this.#deaths[worker]!++;
    const counted = withCutCalls(this.#counted[worker] ?? []);
    this.#counted[worker] = null;
    this.#gone = this.#gone.then((gone) => valuesTogether([gone, counted]));
    await this.#gone;
  }

  #addOwn(): void {
    addStartTime(this.#own); // Workers start later, and again.
    const each = (read: (values: MetricValues | null) => number) => () =>
      this.#told.map((values, worker) => ({ labels: { worker: String(worker) }, value: read(values) }));
    this.#own.gauges(
      "etcdproxy_worker_up",
      "1 for each worker that answers; what others tell is not part of this page.",
      ["worker"],
      each((values) => Number(values !== null)),
    );
    this.#own.gauges(
      "etcdproxy_worker_client_connections",
      "Connections that clients have open, by the worker that serves them.",
      ["worker"],
      each((values) => (values === null ? 0 : clientConnections(values))),
    );
    this.#own.counter("etcdproxy_worker_deaths_total", "Workers that died; each is replaced.", () =>
      this.#deaths.reduce((sum, deaths) => sum + deaths, 0),
    );
  }
}

function countsUp({ type }: MetricValues[number]): boolean {
  // What prom-client declares as a number is the word of the page.
  return ["counter", "histogram"].includes(String(type));
}

function clientConnections(values: MetricValues): number {
  return values
    .filter(({ name }) => CLIENT_CONNECTIONS.includes(name))
    .flatMap((metric) => metric.values)
    .reduce((sum, { value }) => sum + value, 0);
}
