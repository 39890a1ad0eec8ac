/**
 * All that was measured: a number for each measurement, contender, quantity and round.
 */
import { ratiosOf, type RoundFigures, type Spread, spreadOf } from "./spread.ts";

/**
 * What is told of a contender in a measurement, with its unit; `Cpu` is processor time of one operation.
 * `upstreamCallsShare` is how many calls reached etcd for one of the clients': Range calls for a read where calls are
 * mixed, messages for a heartbeat.
 */
export type Quantity =
  | "operationsPerSecond"
  | "p50Micros"
  | "p99Micros"
  | "proxyCpuMicros"
  | "serverCpuMicros"
  | "clientCpuMicros"
  | "bytesPerConnection"
  | "connections"
  | "bytesPerWatcher"
  | "createSeconds"
  | "upstreamWatches"
  | "upstreamCallsShare"
  | "upstreamStreams"
  | "missingPercent"
  | "startMs";

/** measurement → contender → quantity → the rounds' figures; null where a round has none. */
export type FiguresRecord = Record<string, Record<string, Record<string, (number | null)[]>>>;

type QuantityRounds = Map<Quantity, (number | undefined)[]>;

export class Figures {
  readonly #figures = new Map<string, Map<string, QuantityRounds>>();

  add(measurement: string, contender: string, quantity: Quantity, round: number, value: number): void {
    const contenders = getOrMake(this.#figures, measurement, () => new Map<string, QuantityRounds>());
    const quantities: QuantityRounds = getOrMake(contenders, contender, () => new Map());
    const rounds = getOrMake(quantities, quantity, (): (number | undefined)[] => []);
    while (rounds.length < round) rounds.push(undefined);
    rounds[round] = value;
  }

  /** The figure of each round; empty when there is none. */
  rounds(measurement: string, contender: string, quantity: Quantity): RoundFigures {
    return this.#figures.get(measurement)?.get(contender)?.get(quantity) ?? [];
  }

  spread(measurement: string, contender: string, quantity: Quantity): Spread | undefined {
    return spreadOf(this.rounds(measurement, contender, quantity));
  }

  /** The contender's figures as multiples of another one's, round by round. */
  ratio(measurement: string, contender: string, base: string, quantity: Quantity): Spread | undefined {
    return spreadOf(
      ratiosOf(this.rounds(measurement, contender, quantity), this.rounds(measurement, base, quantity)),
    );
  }

  /** Who has figures in a measurement, in the order of their first. */
  contenders(measurement: string): readonly string[] {
    return [...(this.#figures.get(measurement)?.keys() ?? [])];
  }

  toJSON(): FiguresRecord {
    const record: FiguresRecord = {};
    for (const [measurement, contenders] of this.#figures) {
      const ofMeasurement = (record[measurement] = {} as FiguresRecord[string]);
      for (const [contender, quantities] of contenders) {
        ofMeasurement[contender] = Object.fromEntries(
          [...quantities].map(([quantity, rounds]) => [quantity, rounds.map((figure) => figure ?? null)]),
        );
      }
    }
    return record;
  }
}

function getOrMake<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
