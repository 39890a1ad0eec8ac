/**
 * Clients that read and put through one address, in a closed loop: each call is followed by the next.
 *
 * Invariant: a load is over when every call of it was answered rightly; a load in which nothing moves for `STALL_MS`
 * is an error.
 */
import { LatencyHistogram } from "../load/latency-histogram.ts";
import { CallMix, type CallSource, type MixPlan } from "./call-mix.ts";
import { type CallTally, KvConnection } from "./kv-connection.ts";

const STALL_MS = 10_000;

export interface SessionPlan extends MixPlan {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly inFlight: number;
}

/** A load, run to its end. */
export interface KvLoad {
  readonly calls: number;
  readonly reads: number;
  readonly elapsedSeconds: number;
  readonly latencies: LatencyHistogram;
}

export class KvSession implements Disposable {
  readonly #mix: CallMix;
  readonly #tally: CallTally = { calls: 0, reads: 0, latencies: new LatencyHistogram() };
  readonly #connections: KvConnection[] = [];
  #look: () => void = () => {};

  private constructor(plan: SessionPlan) {
    this.#mix = new CallMix(plan.address, plan);
  }

  /** Opens all connections and makes one call of each method on each. */
  static async open(plan: SessionPlan): Promise<KvSession> {
    const session = new KvSession(plan);
    const look = (): void => session.#look();
    try {
      for (let index = 0; index < plan.connections; index++) {
        session.#connections.push(await KvConnection.open(plan.address, plan.inFlight, session.#tally, look));
      }
      await session.#run(() => listed(session.#mix.openings));
      return session;
    } catch (error) {
      session[Symbol.dispose]();
      throw error;
    }
  }

  /** Puts every key. */
  fill(): Promise<KvLoad> {
    const source = this.#mix.everyPut();
    return this.#run(() => source);
  }

  /** Makes `calls` in all. */
  load(calls: number): Promise<KvLoad> {
    const source = this.#mix.drawn(calls);
    return this.#run(() => source);
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  async #run(sourceOfEach: () => CallSource): Promise<KvLoad> {
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

function listed(calls: CallMix["openings"]): CallSource {
  let at = 0;
  return { next: () => calls[at++] ?? null };
}
