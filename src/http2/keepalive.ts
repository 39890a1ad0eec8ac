/**
 * Finds out whether the peer of a silent connection still lives: a PING after some time in which nothing came, and the
 * connection's end when nothing comes behind that either.
 *
 * Stands beside a connection; its owner calls `check` when the time it named has come. It costs a frame nothing: what
 * counts as a sign of life is the time of the last bytes, which the connection notes with each chunk anyway.
 *
 * A server of gRPC's gives strikes for PINGs that come too soon after each other, or while no stream is open, and ends
 * the connection with the third behind its last HEADERS or DATA. Therefore:
 * - two PINGs are at least the policy's time apart where the *peer* gets them, however long they take: the next one goes
 *   out that long after the answer to the last one, never before it;
 * - while no stream is open only so many go out as the policy says, counted from the peer's last response.
 */
import type { Connection } from "./connection.ts";

export interface KeepalivePolicy {
  /** After so many milliseconds in which nothing came the peer is asked. */
  readonly timeMs: number;
  /** How many milliseconds it then has to send something, whatever it is. */
  readonly timeoutMs: number;
  /** PINGs that may go out while no stream is open, from one response of the peer's to the next. */
  readonly idlePingsMax: number;
}

/** What a connection notes for its keepalive. */
export interface Liveness {
  /** A PING of ours is not acknowledged yet. */
  pingUnanswered: boolean;
  /** PINGs that went out without an open stream since the peer's last response. */
  idlePings: number;
  /** No PING may go out until a stream opens, and nobody waits for an answer. */
  resting: boolean;
}

/** The content of our PINGs, to tell their acknowledgement from those of others. */
export const KEEPALIVE_PING = Buffer.from("are u ok", "latin1");

/**
 * PINGs without an open stream that a gRPC server lets pass behind its last HEADERS or DATA: the first one clears its
 * strikes, two more are forgiven. One of these is kept back, since the first may have crossed those HEADERS.
 */
export const IDLE_PINGS_MAX = 2;

/**
 * How long after the time-out the connection is looked at once more before it is given up, in milliseconds: when it was
 * this process that did not run, the answer lies in the socket and is read by then.
 */
const LAST_LOOK_MS = 1;

export class Keepalive {
  readonly #connection: Connection;
  readonly #policy: KeepalivePolicy;
  readonly #sinceMs: number;
  /** It has ended the connection. */
  gaveUp = false;
  /** When the answer that is waited for was asked for; null: nobody waits. */
  #askedAtMs: number | null = null;
  #lastLook = false;

  /** @param nowMs silence counts from now on, whatever came before */
  constructor(connection: Connection, policy: KeepalivePolicy, nowMs: number) {
    this.#connection = connection;
    this.#policy = policy;
    this.#sinceMs = nowMs;
  }

  /**
   * Asks the peer, or gives the connection up, where it is time for that.
   *
   * @returns when to look again, by the same clock; `Infinity`: not before a stream opens (`resting`), or never, since
   *   the connection is over
   */
  check(nowMs: number): number {
    const { liveness, ended } = this.#connection;
    liveness.resting = false;
    if (ended) return Number.POSITIVE_INFINITY;
    const heardAtMs = Math.max(this.#connection.nowMs, this.#sinceMs);
    if (this.#askedAtMs !== null && heardAtMs >= this.#askedAtMs) {
      this.#askedAtMs = null;
      this.#lastLook = false;
    }
    if (this.#askedAtMs === null) return this.#listen(heardAtMs, nowMs);
    return this.#await(this.#askedAtMs + this.#policy.timeoutMs, nowMs);
  }

  #listen(heardAtMs: number, nowMs: number): number {
    const dueMs = heardAtMs + this.#policy.timeMs;
    if (nowMs < dueMs) return dueMs;
    const { liveness, streams } = this.#connection;
    // A PING that is still on its way asks as well as another one.
    if (!liveness.pingUnanswered) {
      if (streams.size === 0) {
        if (liveness.idlePings >= this.#policy.idlePingsMax) {
          liveness.resting = true;
          return Number.POSITIVE_INFINITY;
        }
        liveness.idlePings++;
      }
      this.#connection.ping();
    }
    this.#askedAtMs = nowMs;
    return this.#await(nowMs + this.#policy.timeoutMs, nowMs);
  }

  #await(dueMs: number, nowMs: number): number {
    // Where the answer comes soon, the next PING may be due sooner than this one's time is over.
    if (nowMs < dueMs) return Math.min(dueMs, nowMs + this.#policy.timeMs);
    if (!this.#lastLook) {
      this.#lastLook = true;
      return nowMs + LAST_LOOK_MS;
    }
    this.gaveUp = true;
    this.#connection.transportClosed(
      `no answer to a keepalive ping within ${this.#policy.timeoutMs / 1000} s`,
    );
    return Number.POSITIVE_INFINITY;
  }
}
