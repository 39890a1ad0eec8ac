/**
 * Tells a client whose PINGs come too often from one that only wants to know whether we live, by the rule of gRPC's
 * servers, etcd among them: a PING sooner than the least interval behind the last one is a strike, anything of a call
 * that we send in between clears all strikes, and the third strike is one too many.
 *
 * What we send clears them since gRPC's clients probe the bandwidth with a PING for what they receive. Whether a stream
 * is open does not matter: etcd has two hours as the least interval without one, but only where clients speak plain text.
 * Over TLS it counts nothing, and clients that ping idle connections (Kubernetes: every 30 s) work with it.
 */

/** What GOAWAY says to a client that pings too often: gRPC's clients double their interval when they read it. */
export const TOO_MANY_PINGS = "too_many_pings";

const STRIKES_MAX = 2;

export class PingStrikes {
  readonly #intervalMinMs: number;
  #strikes = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param intervalMinMs 0: PINGs may come as often as they like */
  constructor(intervalMinMs: number) {
    this.#intervalMinMs = intervalMinMs;
  }

  /**
   * Notes a PING.
   *
   * @param sentSincePing HEADERS or DATA of ours went out since the last one
   * @returns true when it is one too many
   */
  note(sentSincePing: boolean, nowMs: number): boolean {
    const tooSoon = nowMs - this.#lastMs < this.#intervalMinMs;
    this.#lastMs = nowMs;
    if (sentSincePing) this.#strikes = 0;
    else if (tooSoon) this.#strikes++;
    return this.#strikes > STRIKES_MAX;
  }
}
