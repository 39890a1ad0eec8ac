/**
 * Clients that read and put through one address, in a closed loop: each call is followed by the next.
 */
import { type CallLoad, UnaryClients } from "../load/unary-clients.ts";
import { CallMix, type MixPlan } from "./call-mix.ts";

export interface SessionPlan extends MixPlan {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly inFlight: number;
}

export class KvSession implements Disposable {
  readonly #mix: CallMix;
  readonly #clients: UnaryClients;

  private constructor(mix: CallMix, clients: UnaryClients) {
    this.#mix = mix;
    this.#clients = clients;
  }

  /** Opens all connections and makes one call of each method on each. */
  static async open(plan: SessionPlan): Promise<KvSession> {
    const { address, connections, inFlight } = plan;
    const mix = new CallMix(address, plan);
    const clients = await UnaryClients.open(address, connections, inFlight, mix.openings);
    return new KvSession(mix, clients);
  }

  /** Puts every key. */
  fill(): Promise<CallLoad> {
    return this.#clients.run(this.#mix.everyPut());
  }

  /** Makes `calls` in all. */
  load(calls: number): Promise<CallLoad> {
    return this.#clients.run(this.#mix.drawn(calls));
  }

  [Symbol.dispose](): void {
    this.#clients[Symbol.dispose]();
  }
}
