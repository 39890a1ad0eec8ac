/**
 * Tells of limits that a peer has reached: each is counted, and logged once a second with the peer's address.
 * Stands between the places that enforce a limit and the log and the metrics page.
 *
 * Invariant: what a peer does decides how often it counts, never how many names or lines there are.
 */
import type { RateLimitedLog } from "./rate-limited-log.ts";

/** Which side of the proxy the peer is on. */
export type PeerSide = "client" | "member";

/** How often a limit was reached by the peers of one side. */
export interface LimitCount {
  readonly side: PeerSide;
  /** The limit's name: one of a fixed set of words in the code, never a peer's. */
  readonly limit: string;
  count: number;
}

export class LimitLog {
  readonly #log: RateLimitedLog;
  readonly #counts = new Map<string, LimitCount>();

  constructor(log: RateLimitedLog) {
    this.#log = log;
  }

  /**
   * A peer has reached a limit.
   *
   * @param limit the limit's name, such as `resets`: a constant
   * @param peer the address at the other end, `host:port`
   * @param fields what else the line tells, such as the reason
   */
  reached(side: PeerSide, limit: string, peer: string, fields: Record<string, unknown> = {}): void {
    const key = `${side} ${limit}`;
    let counted = this.#counts.get(key);
    if (counted === undefined) {
      counted = { side, limit, count: 0 };
      this.#counts.set(key, counted);
    }
    counted.count++;
    this.#log.write("warn", key, `a ${side} reached a limit`, { limit, peer, ...fields });
  }

  /** The limits that were reached at least once. */
  get counts(): Iterable<Readonly<LimitCount>> {
    return this.#counts.values();
  }
}
