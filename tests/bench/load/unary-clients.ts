/**
 * Several connections that make unary calls in a closed loop: each call is followed by the next.
 *
 * Invariant: a load is over when every call of it was answered rightly; a load in which nothing moves for `STALL_MS`
 * is an error.
 */
import { LatencyHistogram } from "./latency-histogram.ts";
import {
  type Call,
  type CallSource,
  type CallTally,
  listedCalls,
  UnaryConnection,
} from "./unary-connection.ts";

const STALL_MS = 10_000;

/** A load, run to its end. */
export interface CallLoad {
  readonly calls: number;
  readonly reads: number;
  readonly elapsedSeconds: number;
  readonly latencies: LatencyHistogram;
}

export class UnaryClients implements Disposable {
  readonly #tally: CallTally = { calls: 0, reads: 0, latencies: new LatencyHistogram() };
  readonly #connections: UnaryConnection[] = [];
  #look: () => void = () => {};

  private constructor() {}

  /**
   * Opens `connections` to `host:port`, for `inFlight` calls at a time each, and makes the calls `openings` on every
   * one of them.
   */
  static async open(
    address: string,
    connections: number,
    inFlight: number,
    openings: readonly Call[],
  ): Promise<UnaryClients> {
    const clients = new UnaryClients();
    const look = (): void => clients.#look();
    try {
      for (let index = 0; index < connections; index++) {
        clients.#connections.push(await UnaryConnection.open(address, inFlight, clients.#tally, look));
      }
      await clients.#run(() => listedCalls(openings));
      return clients;
    } catch (error) {
      clients[Symbol.dispose]();
      throw error;
    }
  }

  /** Makes all calls of `source`, each on the connection that has room for it first. */
  run(source: CallSource): Promise<CallLoad> {
    return this.#run(() => source);
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  async #run(sourceOfEach: () => CallSource): Promise<CallLoad> {
    const tally = this.#tally;
    tally.calls = tally.reads = 0;
    tally.latencies = new LatencyHistogram();
    let stall: ReturnType<typeof setInterval> | undefined;
    const startedAtMs = performance.now();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#look = () => {
          try {
            if (this.#connections.every(({ idle }) => idle)) resolve();
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        };
        let seen = 0;
        stall = setInterval(() => {
          if (tally.calls === seen) reject(new Error(`no answer within ${STALL_MS} ms`));
          seen = tally.calls;
        }, STALL_MS);
        for (const connection of this.#connections) connection.send(sourceOfEach());
        this.#look();
      });
    } finally {
      clearInterval(stall);
      this.#look = () => {};
    }
    const elapsedSeconds = (performance.now() - startedAtMs) / 1000;
    return { calls: tally.calls, reads: tally.reads, elapsedSeconds, latencies: tally.latencies };
  }
}
